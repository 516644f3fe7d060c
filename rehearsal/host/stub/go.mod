module example.com/tandem/rehearsal/host/stub

go 1.25

module example.com/tandem/tests/real/stub

go 1.25

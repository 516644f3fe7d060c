"""What tandem knows without Pulumi: settings and their rules, sizing, prices, files of machines, the command."""

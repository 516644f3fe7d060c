"""What an operator looks at, as data: alert rules, panels, dashboards. Pure."""

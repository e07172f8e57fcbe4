"""``harness plugin``: write a plugin package, check one."""

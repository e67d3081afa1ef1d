"""What tests share: no test module imports from another one."""

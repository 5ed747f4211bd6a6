"""`mlops status`, `history` and `compare` show alias holders, the audit table, and two versions side by side."""

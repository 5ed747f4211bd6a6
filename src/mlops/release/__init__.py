"""A version's record: verdict, approval, audit log, aliases."""

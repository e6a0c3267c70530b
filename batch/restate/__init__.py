"""The restatement ledger: what each publish changed of gold that was published before, and what it came from."""

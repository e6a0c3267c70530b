"""The audit: what tables declare of themselves → Great Expectations on the stage → verdict, ledger, Data Docs."""

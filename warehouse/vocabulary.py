"""The words of DuckDB's SQL that prompt and page know beside the catalogue's names."""

from __future__ import annotations

KEYWORDS = (
    "SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "HAVING", "QUALIFY", "JOIN", "LEFT JOIN", "USING",
    "ON", "AS", "AND", "OR", "NOT", "IN", "IS NULL", "IS NOT NULL", "BETWEEN", "LIKE", "ILIKE", "CASE", "WHEN",
    "THEN", "ELSE", "END", "DISTINCT", "ALL", "WITH", "UNION ALL", "OVER", "PARTITION BY", "DESC", "ASC",
    "NULLS LAST", "INTERVAL", "CAST", "EXISTS", "EXPLAIN", "DESCRIBE", "SUMMARIZE", "SHOW TABLES", "VALUES", "PIVOT",
    "FILTER", "EXCLUDE", "REPLACE",
)  # fmt: skip
FUNCTIONS = (
    "avg", "coalesce", "count", "date_diff", "date_trunc", "greatest", "least", "list_sum", "max", "median", "min",
    "now", "nullif", "quantile_cont", "round", "strftime", "sum", "time_bucket",
)  # fmt: skip
"""Those that questions about viewing are made of; DuckDB has many more."""

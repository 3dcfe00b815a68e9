#!/usr/bin/env bash
# Loads the catalog of 5,000 tables, 20,000 columns and 5,000 foreign keys from a throw-away PostgreSQL; prints the time
# and the memory that it takes. TABLES changes the number of tables.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo bench --locked --bench schema-cache -- "${TABLES:-5000}"

#!/usr/bin/env bash
# The same ticket for a tenant with 50 rules and for one with none, pgbench on the embedded cluster, fsync on,
# interleaved; prints ratios.
#
#   none   the statement that telegram-webhook sends (prepared), for a tenant without rules
#   rules  the same for a tenant with 50 active rules of 4 conditions each and 200 executors without a limit: three
#          rules match, one sets the priority, one the due date, one assigns the least loaded with the skill
#   pool   the same for a tenant that has 5,000 tickets open already
#   rows   the limit: what these rules leave behind, written after the ticket by one bare statement that knows it all
#          beforehand; nothing is evaluated, nobody is chosen
#
# CLIENTS, SECONDS_EACH and ROUNDS change the load. Needs a release build and PostgreSQL's server.
set -euo pipefail
cd "$(dirname "$0")/.."

clients=${CLIENTS:-16} seconds=${SECONDS_EACH:-8} rounds=${ROUNDS:-5}
parts=benches/rules
port=21544
work=$(mktemp -d)
chmod 755 "$work"
export SUPABASE_JWT_SECRET=super-secret-jwt-token-with-at-least-32-characters-long
export DROPWIRE_LOG=warn
unset DATABASE_URL SUPABASE_DB_URL

target/release/dropwire serve --no-dispatch --listen 127.0.0.1:$port --data-dir "$work/db" &
server=$!
trap 'kill $server 2>/dev/null; wait $server || true; rm -rf "$work"' EXIT
for _ in $(seq 2000); do
  curl -sf -o /dev/null http://127.0.0.1:$port/ready && break
  sleep 0.01
done

export PGHOST=$work/db/run PGUSER=postgres PGDATABASE=dropwire
psql -q -v ON_ERROR_STOP=1 -f $parts/setup.sql
echo "PostgreSQL $(psql -Atc 'show server_version'), fsync $(psql -Atc 'show fsync'), $clients clients, $rounds rounds of $seconds s"

with_pgbench() {
  pgbench -n -M prepared -c "$clients" -j 2 -T "$2" -D tenant="$1" -D clients="$clients" -f $parts/"${3:-ticket}".sql 2>/dev/null | awk '/^tps/ {print $3}'
}
median() { sort -g | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }

for tenant in 1 2 3; do with_pgbench $tenant 2 >/dev/null; done # warm up
with_pgbench 4 2 rows >/dev/null
for _ in $(seq "$rounds"); do
  # The loads are to be those of the setup, whatever the rounds before have added.
  psql -q -v ON_ERROR_STOP=1 -f $parts/reset.sql
  with_pgbench 1 "$seconds" >>"$work/none"
  with_pgbench 2 "$seconds" >>"$work/rules"
  with_pgbench 3 "$seconds" >>"$work/pool"
  with_pgbench 4 "$seconds" rows >>"$work/rows"
done

awk -v n="$(median <"$work/none")" -v r="$(median <"$work/rules")" -v p="$(median <"$work/pool")" \
  -v w="$(median <"$work/rows")" 'BEGIN {
  printf "no rules                       %8.0f tps\n", n
  printf "50 rules, three match          %8.0f tps   %.2f of it (goal 0.40)\n", r, r / n
  printf "their effects, a bare statement %7.0f tps   %.2f of no rules; 50 rules: %.2f of this\n", w, w / n, r / w
  printf "the same, 5,000 tickets open   %8.0f tps   %.2f of that (goal: 0.80 to 1.20)\n", p, p / r
}'
psql -v ON_ERROR_STOP=1 -q -f $parts/check.sql

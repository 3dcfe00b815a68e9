#!/usr/bin/env bash
# telegram-webhook over HTTP beside pgbench on the same cluster, fsync on, interleaved; prints ratios.
#
#   same   pgbench running the very statement that the server sends (prepared)
#   least  pgbench running the least SQL that does the job: user lookup, ticket insert, queue insert (no rules,
#          no triggers of ours, foreign keys and indexes as they are)
#
# CLIENTS, SECONDS_EACH and ROUNDS change the load. Needs a release build, wrk, and PostgreSQL's server.
set -euo pipefail
cd "$(dirname "$0")/.."

clients=${CLIENTS:-16} seconds=${SECONDS_EACH:-8} rounds=${ROUNDS:-5}
parts=benches/telegram-webhook
port=21543
work=$(mktemp -d)
chmod 755 "$work"
export SUPABASE_JWT_SECRET=super-secret-jwt-token-with-at-least-32-characters-long
export DROPWIRE_LOG=warn DROPWIRE_DB_POOL_SIZE=$clients
unset DATABASE_URL SUPABASE_DB_URL
key=$(target/release/dropwire keys --role anon)

# Starts the server and waits until it is ready; milliseconds go into $ready_ms.
start() {
  local began
  began=$(date +%s%N)
  target/release/dropwire serve --no-dispatch --listen 127.0.0.1:$port --data-dir "$work/db" &
  server=$!
  for _ in $(seq 2000); do
    curl -sf -o /dev/null http://127.0.0.1:$port/ready && break
    sleep 0.01
  done
  ready_ms=$((($(date +%s%N) - began) / 1000000))
}
stop() { kill "$server" 2>/dev/null && wait "$server" || true; }
trap 'stop; rm -rf "$work"' EXIT

start # first start: creates and migrates the database
stop
start # the one that is timed

export PGHOST=$work/db/run PGUSER=postgres PGDATABASE=dropwire
idle_kb=$(awk '/VmRSS/ {print $2}' /proc/$server/status)
psql -q -v ON_ERROR_STOP=1 -f $parts/setup.sql
echo "PostgreSQL $(psql -Atc 'show server_version'), fsync $(psql -Atc 'show fsync'), $clients clients, $rounds rounds of $seconds s"

over_http() {
  KEY=$key wrk -t1 -c"$clients" -d"${seconds}s" -s $parts/post.lua http://127.0.0.1:$port/functions/v1/telegram-webhook |
    awk '/Requests\/sec/ {rate=$2} /Non-2xx/ {bad=$0} END {if (bad) print bad > "/dev/stderr"; print rate}'
}
with_pgbench() {
  pgbench -n -M prepared -c "$clients" -j 2 -T "$seconds" -f "$1" 2>/dev/null | awk '/^tps/ {print $3}'
}
median() { sort -g | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }

over_http >/dev/null # warm up
for _ in $(seq "$rounds"); do
  over_http >>"$work/http"
  with_pgbench $parts/same.sql >>"$work/same"
  with_pgbench $parts/least.sql >>"$work/least"
done

http=$(median <"$work/http") same=$(median <"$work/same") least=$(median <"$work/least")
awk -v h="$http" -v s="$same" -v l="$least" -v kb="$idle_kb" -v ms="$ready_ms" 'BEGIN {
  printf "HTTP                 %8.0f requests/s\n", h
  printf "pgbench, same SQL    %8.0f tps   HTTP reaches %.2f of it (goal 0.70)\n", s, h / s
  printf "pgbench, least SQL   %8.0f tps   HTTP reaches %.2f of it (goal 0.50)\n", l, h / l
  printf "resident memory when idle %.1f MB (goal: under 30)\n", kb / 1024
  printf "ready %d ms after the start, the embedded PostgreSQL\047s own start included (goal: 300)\n", ms
}'
tickets=$(psql -Atc 'select count(*) from tickets') entries=$(psql -Atc "select count(*) from ticket_webhook_queue where origin = 'creation'")
[ "$tickets" = "$entries" ] || { echo "lost entries: $tickets tickets, $entries creation entries" >&2; exit 1; }

#!/usr/bin/env bash
# /rest/v1 over HTTP beside pgbench on the same cluster, fsync on, interleaved; prints ratios.
#
# pgbench runs the least SQL that answers the request, prepared and pipelined: begin, role and claims, the statement,
# commit. Data: 1,000,000 tickets, 50,000 users, 200 tenants, served by `dropwire serve --rest-only`.
#
# CLIENTS, SECONDS_EACH and ROUNDS change the load; ONLY="row page" picks cases; TICKETS the data's size.
# PEER=http://127.0.0.1:3000 measures another server of the same database too (its URI is printed).
# Needs a release build, wrk, and PostgreSQL's server.
set -euo pipefail
cd "$(dirname "$0")/.."

clients=${CLIENTS:-16} seconds=${SECONDS_EACH:-4} rounds=${ROUNDS:-3} tickets=${TICKETS:-1000000}
only=${ONLY:-row page rpc insert upsert bulk}
parts=benches/rest
port=21544 host_port=21545
work=$(mktemp -d)
chmod 755 "$work"
unset DATABASE_URL SUPABASE_DB_URL

# The embedded server of one process is the database that the other one, under test, is pointed at.
SUPABASE_JWT_SECRET=super-secret-jwt-token-with-at-least-32-characters-long DROPWIRE_LOG=warn \
  target/release/dropwire serve --no-dispatch --listen 127.0.0.1:$host_port --data-dir "$work/db" &
host=$!
server=
stop() {
  for process in $server $host; do kill "$process" 2>/dev/null && wait "$process" || true; done
  rm -rf "$work"
}
trap stop EXIT
await() {
  for _ in $(seq 3000); do
    curl -sf -o /dev/null "$1" && return
    sleep 0.02
  done
  echo "no answer from $1" >&2
  exit 1
}
await http://127.0.0.1:$host_port/ready

export PGHOST=$work/db/run PGUSER=postgres
psql -q -d postgres -c 'create database bench'
export PGDATABASE=bench
psql -q -v ON_ERROR_STOP=1 -v tickets="$tickets" -f $parts/setup.sql
uri="postgresql://bench_authenticator@/bench?host=$work/db/run"
echo "PostgreSQL $(psql -Atc 'show server_version'), fsync $(psql -Atc 'show fsync'), $tickets tickets, $clients clients, $rounds rounds of $seconds s"
[ -z "${PEER:-}" ] || echo "peer $PEER should serve $uri, schema bench, anonymous role bench_anon"

PGRST_DB_URI=$uri PGRST_DB_SCHEMAS=bench PGRST_DB_ANON_ROLE=bench_anon PGRST_DB_POOL=$clients DROPWIRE_LOG=warn \
  target/release/dropwire serve --rest-only --listen 127.0.0.1:$port &
server=$!
await "http://127.0.0.1:$port/rest/v1/tickets?limit=1"

over_http() { # case, base URL
  TICKETS=$tickets wrk -t1 -c"$clients" -d"${seconds}s" --latency -s "$parts/$1.lua" "$2" |
    awk '/Requests\/sec/ {rate=$2} /^ +50%/ {p50=$2} /^ +99%/ {p99=$2} /Non-2xx/ {bad=$0}
         END {if (bad) print bad > "/dev/stderr"; print rate, p50, p99}'
}
with_pgbench() {
  pgbench -n -M prepared -c "$clients" -j 1 -T "$seconds" -D tickets="$tickets" -f "$parts/$1.sql" 2>/dev/null | awk '/^tps/ {print $3}'
}
median() { sort -g | awk '{v[NR]=$0} END {print v[int((NR+1)/2)]}'; }

declare -A goal=([row]=0.5 [page]=0.8 [rpc]=0.5 [insert]=0.6 [upsert]=0.85 [bulk]=0.85)
for case in $only; do
  over_http "$case" http://127.0.0.1:$port >/dev/null # warm up
  for _ in $(seq "$rounds"); do
    over_http "$case" http://127.0.0.1:$port >>"$work/$case.http"
    with_pgbench "$case" >>"$work/$case.least"
    [ -z "${PEER:-}" ] || over_http "$case" "$PEER" >>"$work/$case.peer"
  done
  read -r rate p50 p99 < <(median <"$work/$case.http")
  least=$(median <"$work/$case.least")
  printf '%-7s %9.1f requests/s  p50 %8s  p99 %8s   pgbench %9.1f tps   ratio %.2f (goal %s)\n' \
    "$case" "$rate" "$p50" "$p99" "$least" "$(awk "BEGIN {print $rate / $least}")" "${goal[$case]}"
  if [ -n "${PEER:-}" ]; then
    read -r rate p50 p99 < <(median <"$work/$case.peer")
    printf '%-7s %9.1f requests/s  p50 %8s  p99 %8s   the peer, ratio %.2f\n' \
      "" "$rate" "$p50" "$p99" "$(awk "BEGIN {print $rate / $least}")"
  fi
done
awk '/VmHWM/ {printf "peak resident memory %.1f MB (goal: under 60)\n", $2 / 1024}' /proc/$server/status

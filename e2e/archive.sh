# An archive in a real PostgreSQL, sourced by run.sh: the server runs beside the node, in its network. Its
# user has a password, which stands in a Secret.

archive_server=
as_nobody=(unshare --user --map-user=65534 --map-group=65534) # PostgreSQL refuses to be root

start_postgres() {
  local programs
  sh "$here/../scripts/install-postgres.sh"
  programs=$(dirname "$(readlink -f "$(command -v initdb || ls /usr/lib/postgresql/*/bin/initdb | tail -1)")")
  mkdir -m 777 "$work/postgres"
  printf 'kept-well' >"$work/postgres/password"
  "${as_nobody[@]}" "$programs/initdb" --pgdata "$work/postgres/data" --username relay --pwfile "$work/postgres/password" \
    --auth scram-sha-256 --encoding UTF8 --locale C --no-sync >"$work/initdb.log" 2>&1
  echo 'host all all all scram-sha-256' >>"$work/postgres/data/pg_hba.conf"
  "$cluster" run "${as_nobody[@]}" "$programs/postgres" -D "$work/postgres/data" -k "$work/postgres" \
    -c listen_addresses='*' -c port=5433 -c fsync=off >"$work/postgres.log" 2>&1 &
  archive_server=$!
  sql=("$cluster" run env PGPASSWORD=kept-well "$programs/psql" -h 127.0.0.1 -p 5433 -U relay -d postgres -Atc)
  await "PostgreSQL answers" "${sql[@]}" 'SELECT 1'
}

stop_postgres() {
  [ -z "$archive_server" ] || kill -INT "$archive_server" 2>/dev/null || true
  archive_server=
}

keeps_an_archive() {
  local node
  node=$(kubectl get node node -o 'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}')
  kubectl create secret generic archive --from-literal=username=relay --from-literal=password=kept-well >/dev/null
  kubectl apply -f - >/dev/null <<END
apiVersion: sserelay.dev/v1alpha1
kind: SseRelay
metadata: {name: kept}
spec:
  maxStreams: 100
  image: {pullPolicy: Never}
  archive: {postgres: {host: "$node:5433", database: postgres, credentials: {name: archive, usernameKey: username}}}
  rollout: {drainWindow: 1s, propagation: 1s}
END
  kubectl wait --for=condition=Ready sserelay/kept --timeout=3m >/dev/null
  local address secret
  address=http://$(kubectl get service kept -o 'jsonpath={.spec.clusterIP}')
  secret=$(kubectl get secret kept-tokens -o 'jsonpath={.data.publish}' | base64 -d)
  await "the relay takes an event" "$cluster" run curl -sf --max-time 10 -H "Authorization: Bearer $secret" \
    -H 'Content-Type: text/plain' -d 'for later' "$address/v1/channels/a/events"
  local schema
  schema=$(kubectl get sserelay kept -o 'jsonpath={.status.effective.archiveSchema}')
  in_the_archive() { "${sql[@]}" "SELECT count(*) FROM $schema.events" | grep -q '^[1-9]'; }
  await "the event is in the archive, in $schema" in_the_archive
  kubectl delete sserelay kept >/dev/null
  kubectl delete secret archive >/dev/null
}

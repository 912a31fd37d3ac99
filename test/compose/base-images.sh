#!/usr/bin/env bash
# Makes the images that docker-compose.yml starts from out of Debian's packages and the project's own Node, and gives them the
# same names, for a machine whose engine reaches no image registry. Needs root, debootstrap and npm; says what it does.
#
#   test/compose/base-images.sh && npm run test:compose
#
# Prometheus is Debian's version then and not the one in the compose file; what the test asks of it, both know.
set -euo pipefail
cd "$(dirname "$0")/../.."

node_image=$(sed -n 's/^FROM //p' Dockerfile)
prometheus_image=$(sed -n 's/^ *image: \(prom\/prometheus:.*\)$/\1/p' docker-compose.yml)
suite=bookworm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

has() { docker image inspect "$1" > /dev/null 2>&1; }

# debootstrap's own /proc and the package lists are of no use in an image.
import() {
  tar --directory "$work/root" --exclude='./proc/*' --exclude='./sys/*' --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' \
    --create . | docker import "${@:2}" - "$1" > /dev/null
  echo "made $1"
}

root() {
  echo "fetching a Debian root${1:+ with $1}"
  rm -rf "$work/root"
  debootstrap --variant=minbase --include="ca-certificates${1:+,$1}" "$suite" "$work/root" > "$work/log" 2>&1 || {
    tail -5 "$work/log" >&2
    exit 1
  }
  umount "$work/root/proc" "$work/root/sys" 2> /dev/null || true
}

if ! has "$node_image"; then
  root libatomic1
  npm=$(npm root --global)/npm
  install -m 755 "$(readlink -f node_modules/.bin/node)" "$work/root/usr/local/bin/node"
  mkdir -p "$work/root/usr/local/lib/node_modules"
  cp -rL "$npm" "$work/root/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$work/root/usr/local/bin/npm"
  chroot "$work/root" useradd --uid 1000 --create-home node
  changes=()
  # A machine behind a proxy that signs for others: what this npm trusts, the image's npm has to.
  if [ -n "${NODE_EXTRA_CA_CERTS:-}" ]; then
    install -D -m 644 "$NODE_EXTRA_CA_CERTS" "$work/root/usr/local/share/extra-ca.pem"
    changes=(--change 'ENV NODE_EXTRA_CA_CERTS=/usr/local/share/extra-ca.pem')
  fi
  import "$node_image" "${changes[@]}" --change 'CMD ["node"]'
fi

if ! has "$prometheus_image"; then
  root prometheus
  mkdir -p "$work/root/prometheus"
  chown 65534:65534 "$work/root/prometheus"
  import "$prometheus_image" --change 'ENTRYPOINT ["/usr/bin/prometheus"]' --change 'USER 65534' --change 'VOLUME /prometheus'
fi

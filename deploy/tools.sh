#!/usr/bin/env bash
# Put the programs that tests run into the user's cache: prometheus, promtool, helm, and compose-config
# (Compose's own reader of its files). What cannot be had here is reported and left out; its tests are
# skipped, and say so.
set -uo pipefail

HELM=v4.3.1
COMPOSE=v2.16.2
bin="${XDG_CACHE_HOME:-$HOME/.cache}/sluice/bin"
mkdir -p "$bin" || exit 1
lacks=0

lack() {
  echo "tools: no $1: $2" >&2
  lacks=1
}

# From Debian's or Ubuntu's package, without installing it: it would start a server.
get_prometheus() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
    lack "prometheus and promtool" "they are taken from a Debian package; elsewhere install Prometheus"
    return
  }
  local folder
  folder=$(mktemp -d) || return
  (
    cd "$folder" || exit 1
    apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }
    dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin && mv usr/bin/prom* "$bin"
  ) >/dev/null 2>&1 || lack "prometheus and promtool" "the package prometheus cannot be downloaded"
  rm -rf "$folder"
}

# A command of a Go module: the name that it gets here, package, version.
get_go() {
  command -v go >/dev/null || {
    lack "$1" "there is no Go to build it"
    return
  }
  local folder
  folder=$(mktemp -d) || return
  GOBIN="$folder" GOFLAGS="-ldflags=-s" go install "$2@$3" >/dev/null 2>&1 && mv "$folder"/* "$bin/$1" ||
    lack "$1" "go install $2@$3 fails"
  rm -rf "$folder"
}

[ -x "$bin/promtool" ] && [ -x "$bin/prometheus" ] || get_prometheus
[ -x "$bin/compose-config" ] || get_go compose-config github.com/compose-spec/compose-go/v2/cmd "$COMPOSE"
[ -x "$bin/helm" ] || get_go helm helm.sh/helm/v4/cmd/helm "$HELM"
exit "$lacks"

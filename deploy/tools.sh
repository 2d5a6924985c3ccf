#!/usr/bin/env bash
# Put prometheus, promtool and helm, which the tests of deploy/ run, into the user's cache. What cannot be
# had here is reported and left out; its tests are skipped, and say so.
set -uo pipefail

HELM=v4.3.1
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

get_helm() {
  command -v go >/dev/null || {
    lack helm "there is no Go to build it; or install Helm"
    return
  }
  GOBIN="$bin" GOFLAGS="-ldflags=-s" go install "helm.sh/helm/v4/cmd/helm@$HELM" >/dev/null 2>&1 ||
    lack helm "go install fails"
}

[ -x "$bin/promtool" ] && [ -x "$bin/prometheus" ] || get_prometheus
[ -x "$bin/helm" ] || get_helm
exit "$lacks"

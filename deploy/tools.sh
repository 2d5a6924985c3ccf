#!/usr/bin/env bash
# Put promtool and helm, which the tests of deploy/ run, into the user's cache. What cannot be had here is
# said and left out: its tests are skipped, and say so.
set -uo pipefail

HELM=v4.3.1
bin="${XDG_CACHE_HOME:-$HOME/.cache}/sluice/bin"
mkdir -p "$bin" || exit 1
lacks=0

has() { command -v "$1" >/dev/null || [ -x "$bin/$1" ]; }

lack() {
  echo "tools: no $1: $2" >&2
  lacks=1
}

# From Debian's or Ubuntu's package, without installing it: it would start a server.
get_promtool() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
    lack promtool "it is taken from a Debian package; elsewhere install Prometheus"
    return
  }
  local folder
  folder=$(mktemp -d) || return
  (
    cd "$folder" || exit 1
    apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }
    dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool && mv usr/bin/promtool "$bin"
  ) >/dev/null 2>&1 || lack promtool "the package prometheus cannot be downloaded"
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

has promtool || get_promtool
has helm || get_helm
exit "$lacks"

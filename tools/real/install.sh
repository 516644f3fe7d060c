#!/usr/bin/env bash
# Installs what the proofs on real parts need and this machine lacks: by apt-get, on Debian 12 and 13 and Ubuntu 24.04.
# With arguments, only those commands; nginx comes with its module for scripts.
set -euo pipefail

# command or file:package
needed=(
  qemu-system-x86_64:qemu-system-x86 qemu-img:qemu-utils socat:socat # the guest and its metadata service
  debootstrap:debootstrap mke2fs:e2fsprogs zstd:zstd                 # its disk
  as:binutils dpkg-deb:dpkg gpg:gnupg curl:curl                      # its package repository
  nginx:nginx shellcheck:shellcheck
  buildah:buildah                                                    # images/Dockerfile
  ip:iproute2                                                        # a node's network
  pg_ctlcluster:postgresql redis-server:redis-server                 # the gateway's database and cache
)
if (($#)); then
  needed=()
  for name in "$@"; do needed+=("${name/#postgresql/pg_ctlcluster}:$name"); done
fi
if [[ " ${needed[*]} " == *" nginx:nginx "* ]]; then
  needed+=(/usr/lib/nginx/modules/ngx_http_js_module.so:libnginx-mod-http-js)
fi

missing=()
for pair in "${needed[@]}"; do
  [[ -f ${pair%%:*} ]] || PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" > /dev/null || missing+=("${pair##*:}")
done
((${#missing[@]})) || exit 0
if ((EUID)); then
  echo "these packages are needed, and installing them takes root: ${missing[*]}" >&2
  exit 2
fi
if ! command -v apt-get > /dev/null; then
  echo "these packages are needed, and there is no apt-get here: ${missing[*]}" >&2
  exit 2
fi
echo "installing with apt-get: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
# The tests start servers of their own; nginx's package would take port 80, and the others memory.
if [[ -d /run/systemd/system ]]; then
  for name in nginx postgresql redis-server; do
    [[ " ${missing[*]} " != *" $name "* ]] || systemctl disable --now "$name"
  done
fi

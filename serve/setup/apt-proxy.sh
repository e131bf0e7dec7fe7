#!/bin/sh
# Of {{.}}/-/setup/. Tells apt to ask the mirror if it is there, and otherwise to do as it is configured: DIRECT,
# where nothing else is said.
mirror='{{.}}'

# apt-helper below asks for a proxy too.
[ -z "${INTELLIGENTMIRROR_ASKS-}" ] || { echo DIRECT && exit; }
export INTELLIGENTMIRROR_ASKS=1

dir=$(mktemp -d) || exit 0
trap 'rm -rf "$dir"' EXIT
if /usr/lib/apt/apt-helper -q -o Acquire::Retries=0 -o Acquire::http::Timeout=5 -o Acquire::https::Timeout=5 \
	-o Acquire::http::Proxy=DIRECT -o Acquire::https::Proxy=DIRECT \
	download-file "$mirror/-/healthz" "$dir/healthz" >/dev/null 2>&1; then
	echo "$mirror"
else
	generic=$(apt-config shell proxy Acquire::http::Proxy 2>/dev/null)
	[ -n "$generic" ] || [ -n "${http_proxy-}" ] || echo DIRECT
fi

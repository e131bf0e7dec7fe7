#!/bin/sh
# Points this machine's package manager at the mirror {{.Base}}, with the public mirrors behind it for the day on
# which it is not there. Signatures are checked as before. It may be run again, and takes back all that it did:
#
#     sh setup.sh [--root DIR]           point the machine, or the one below DIR, at the mirror
#     sh setup.sh --metalink             with metalinks of the mirror's for dnf, which name the public ones too
#     sh setup.sh --undo [--root DIR]    leave everything as it was before
#
# dnf5:         /etc/dnf/repos.override.d/90-intelligentmirror.repo
# dnf4, zypper: the lines of /etc/yum.repos.d/*.repo and /etc/zypp/repos.d/*.repo that say where a repository is. They
#               stay as comments (#im#), beside what takes their place (from #im+ to #im-).
# apt:          /etc/apt/apt.conf.d/30intelligentmirror and /etc/apt/intelligentmirror-proxy, which asks whether the
#               mirror is there each time that apt does something.
set -eu

mirror='{{.Base}}'
proxy='{{.Proxy}}' # whether it is one for apt too
override=etc/dnf/repos.override.d/90-intelligentmirror.repo
aptconf=etc/apt/apt.conf.d/30intelligentmirror
aptproxy=etc/apt/intelligentmirror-proxy

# rules prints what the mirror has, a line each: how the URL of a list of mirrors begins, without its scheme, what
# follows the release in it, the repository here, the path in it before the release and behind it, and a public mirror.
# A line with the first and the third alone is of a public mirror's own URL.
rules() {
	cat <<'END_OF_RULES'
{{range .Rules -}}
{{.From}}	{{.After}}	{{.Repo}}	{{.Before}}	{{.Behind}}	{{.Public}}
{{end -}}
END_OF_RULES
}

die() {
	printf 'setup.sh: %s\n' "$*" >&2
	exit 1
}

# rewrite MODE FILE BYLIST prints a file of repositories with those that the mirror has pointed at it: in place (edit),
# or as what dnf5 lays over it (override). Where BYLIST is not empty they get metalinks.
rewrite() {
	awk -v mode="$1" -v bylist="$3" -v rules="$work/rules" -v base="$mirror" '
	BEGIN {
		FS = "\t"
		while ((getline <rules) > 0) {
			n++
			from[n] = $1; after[n] = $2; repo[n] = $3; before[n] = $4; behind[n] = $5; public[n] = $6
		}
	}
	function release(v) {
		sub(/\$rltype$/, "", v)
		return v ~ /^(\$[a-z_]+|[0-9][0-9.]*(-stream)?)$/ ? v : ""
	}
	# found looks a URL up, and leaves in ours and theirs where it is on the mirror and on a public one.
	function found(url,    i, rest, v, at) {
		if (!sub(/^https?:\/\//, "", url)) return 0
		for (i = 1; i <= n; i++) {
			if (index(url, from[i]) != 1) continue
			rest = substr(url, length(from[i]) + 1)
			ours = base "/" repo[i] "/"
			theirs = ""
			if (public[i] == "") {
				ours = ours rest
				return 1
			}
			at = index(rest "&", after[i] "&")
			v = at ? release(substr(rest, 1, at - 1)) : ""
			if (v == "") continue
			ours = ours before[i] v behind[i]
			theirs = public[i] "/" before[i] v behind[i]
			return 1
		}
		return 0
	}
	function flush(    i, j, key, value, urls, count, known, done, list, first, place) {
		key = ""
		for (i = 1; i <= lines; i++) {
			if (line[i] ~ /^[ \t]+[^ \t]/ && key != "") value = line[i]
			else if (line[i] ~ /^(metalink|mirrorlist|baseurl)[ \t]*=/) {
				key = value = line[i]
				sub(/[ \t]*=.*/, "", key)
				sub(/^[^=]*=[ \t]*/, "", value)
			} else {
				if (line[i] !~ /^[#;]/) key = ""
				continue
			}
			where[i] = 1
			if (key != "baseurl") first[key] = value
			else list = list " " value
		}
		# What dnf goes by is the first of these that is there.
		count = split("metalink" in first ? first["metalink"] : "mirrorlist" in first ? first["mirrorlist"] : list, urls, /[ \t,]+/)
		for (j = 1; j <= count && !known; j++) known = found(urls[j])
		if (known && theirs == "") theirs = list
		count = split(theirs, urls, /[ \t,]+/)
		if (known && bylist) {
			place = base "/-/setup/metalink" substr(ours, length(base) + 1)
			sub(/\/$/, "", place)
		}
		for (i = 1; i <= lines; i++) {
			if (mode == "edit") print known && (i in where) ? "#im#" line[i] : line[i]
			if (mode == "edit" && known && (i in where) && !done++) {
				print "#im+ " base "/-/setup/ put this here; setup.sh --undo takes it away"
				if (bylist) print "metalink=" place
				else {
					print "baseurl=" ours
					for (j = 1; j <= count; j++) if (urls[j] != "") print "        " urls[j]
				}
				print "#im-"
			}
		}
		if (mode == "override" && known) {
			value = ours
			for (j = 1; j <= count; j++) if (urls[j] != "") value = value "," urls[j]
			if (bylist) print "[" id "]\nmetalink=" place "\nmirrorlist=\nbaseurl="
			else print "[" id "]\nmetalink=\nmirrorlist=\nbaseurl=" value
		}
		if (known) print "    " id >"/dev/stderr"
		for (i in where) delete where[i]
		lines = 0
	}
	/^\[.*\]/ { flush(); id = $0; sub(/^\[/, "", id); sub(/\].*/, "", id) }
	{ line[++lines] = $0 }
	END { flush() }
	' "$2"
}

# restored prints a file of repositories as it was before.
restored() {
	awk '/^#im\+/ { ours = 1 } !ours { sub(/^#im#/, ""); print } /^#im-/ { ours = 0 }' "$1"
}

# put makes standard input the contents of the file $1, all at once; with the mode $2 where there was none.
put() {
	mkdir -p "$(dirname "$1")"
	if [ -e "$1" ]; then cp -p "$1" "$1.im-new"; else
		: >"$1.im-new"
		chmod "$2" "$1.im-new"
	fi
	cat >"$1.im-new"
	mv -f "$1.im-new" "$1"
}

# repo_files prints the files of repositories below the directories that are given.
repo_files() {
	for dir; do
		for file in "$root/$dir"/*.repo; do
			if [ -f "$file" ] && [ ! -L "$file" ]; then printf '%s\n' "$file"; fi
		done
	done
}

# undo takes back all that any run did.
undo() {
	for file in "$override" "$aptconf" "$aptproxy"; do
		if [ -e "$root/$file" ]; then rm -f "$root/$file" && printf 'removed %s\n' "$root/$file"; fi
	done
	repo_files etc/yum.repos.d etc/zypp/repos.d | while IFS= read -r file; do
		grep -q '^#im' "$file" || continue
		restored "$file" >"$work/new"
		put "$file" 644 <"$work/new"
		printf 'restored %s\n' "$file"
	done
}

dnf5() {
	repo_files etc/yum.repos.d | while IFS= read -r file; do
		rewrite override "$file" "$metalink" 2>>"$work/found"
	done >"$work/new"
	if [ -s "$work/new" ]; then
		{ printf '# %s/-/setup/ made this file; setup.sh --undo takes it away.\n' "$mirror" && cat "$work/new"; } | put "$root/$override" 644
	fi
}

# edit DIR BYLIST changes the files of repositories below a directory.
edit() {
	repo_files "$1" | while IFS= read -r file; do
		: >"$work/here"
		rewrite edit "$file" "$2" >"$work/new" 2>"$work/here"
		[ ! -s "$work/here" ] || put "$file" 644 <"$work/new"
		cat "$work/here" >>"$work/found"
	done
}

apt() {
	if [ "$proxy" != true ]; then
		printf 'apt is left alone: this mirror is no proxy. %s/-/setup/ says what to write into sources.list.\n' "$mirror" >&2
		return
	fi
	put "$root/$aptproxy" 755 <<'END_OF_PROXY'
{{.AptProxy -}}
END_OF_PROXY
	put "$root/$aptconf" 644 <<'END_OF_CONF'
{{.AptConf -}}
END_OF_CONF
	printf '    apt, for what it asks by http://\n' >>"$work/found"
}

main() {
	root='' undo='' metalink=''
	while [ $# -gt 0 ]; do
		case $1 in
		--undo) undo=1 ;;
		--metalink) metalink=1 ;;
		--root)
			[ $# -gt 1 ] || die '--root needs a directory'
			root=${2%/}
			shift
			;;
		-h | --help)
			printf 'usage: sh setup.sh [--undo | --metalink] [--root DIR]\n'
			exit 0
			;;
		*) die "no such option: $1 (try --help)" ;;
		esac
		shift
	done
	[ -d "$root/etc" ] || die "there is no $root/etc"
	[ -w "$root/etc" ] || die "$root/etc can't be written: run this as root"
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	if [ -n "$undo" ]; then
		undo
		exit 0
	fi
	undo >/dev/null # what an earlier run did, for another address maybe
	rules >"$work/rules"
	: >"$work/found"
	if [ -x "$root/usr/bin/dnf5" ]; then dnf5; else edit etc/yum.repos.d "$metalink"; fi
	edit etc/zypp/repos.d ''
	if [ -d "$root/etc/apt/apt.conf.d" ]; then apt; fi
	[ -s "$work/found" ] || die "nothing was done: no repository of this machine is one that $mirror has"
	printf 'asked of %s first, and of the public mirrors where it is not there:\n' "$mirror"
	cat "$work/found"
}

# The last line: of a script that was cut off on its way nothing has run.
main "$@"

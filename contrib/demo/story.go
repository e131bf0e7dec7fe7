package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func (p page) opening(o options) {
	p.heading("IntelligentMirror, a demonstration")
	p.line("It works below %s/ alone, asks nothing of the Internet, and ends what it starts.", o.dir)
	p.line("Making a repository of real RPM packages ...")
}

// site says what the demonstration begins with.
func (p page) site(s *stage) {
	p.line("")
	p.line("  upstream   %s%s: %d packages, %s, over a line of %s/s", s.up.URL, upstreamBase, len(s.specs), size(s.bytes), size(uplink))
	p.line("  the log    %d requests of %d clients in the %d days before today", s.lines, logClients, logDays)
}

// ranks prints the top ten.
func (p page) ranks(all []rank) {
	const top = 10
	var rows [][]string
	for _, r := range all[:min(top, len(all))] {
		rows = append(rows, []string{fmt.Sprint(r.Rank), r.Name, r.Arch, fmt.Sprintf("%.1f", r.Score),
			fmt.Sprint(r.Clients), fmt.Sprint(r.ClientDays), fmt.Sprint(r.Requests), size(r.Bytes)})
	}
	p.table([]string{"RANK", "<NAME", "<ARCH", "SCORE", "CLIENTS A DAY", "CLIENT-DAYS", "REQUESTS", "BYTES"}, rows)
	p.line("  ... and %d more names. A client-day: one client on one day. The score lets old days fade.", len(all)-min(top, len(all)))
}

// firstNight prints what was fetched, by what it was fetched for.
func (p page) firstNight(n night) {
	popular, seeds, needed := reasons(n.items)
	p.totals(n)
	p.line("")
	var names []string
	for _, it := range popular {
		names = append(names, fmt.Sprintf("%s (%d)", it.Name, it.Rank))
	}
	p.list("popular, with the rank", names)
	names = nil
	for _, it := range seeds {
		names = append(names, it.Name)
	}
	p.list("on the seed list", names)
	for _, group := range needed {
		p.list("for "+group[0], group[1:])
	}
}

// reasons sorts items by why they were fetched. Those that others need come in
// groups that begin with the name of who needs them.
func reasons(items []item) (popular, seeds []item, needed [][]string) {
	by := map[string][]string{}
	for _, it := range items {
		switch it.Reason {
		case "popular", "security":
			popular = append(popular, it)
		case "seed":
			seeds = append(seeds, it)
		default:
			who, _, _ := strings.Cut(it.Because, " ")
			by[who] = append(by[who], it.Name)
		}
	}
	slices.SortFunc(popular, func(a, b item) int { return a.Rank - b.Rank })
	slices.SortFunc(seeds, func(a, b item) int { return strings.Compare(a.Name, b.Name) })
	for who, names := range by {
		slices.Sort(names)
		needed = append(needed, append([]string{who}, names...))
	}
	slices.SortFunc(needed, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return popular, seeds, needed
}

// totals prints a row for each reason.
func (p page) totals(n night) {
	var rows [][]string
	for _, reason := range []string{"security", "popular", "seed", "dependency"} {
		count, bytes := 0, int64(0)
		for _, it := range n.items {
			if it.Reason == reason {
				count++
				bytes += it.Size
			}
		}
		if count > 0 {
			rows = append(rows, []string{reason, fmt.Sprint(count), size(bytes)})
		}
	}
	rows = append(rows, []string{"in all", fmt.Sprint(n.Fetched), size(n.sent) + " with metadata, in " + millis(n.took)})
	p.table([]string{"<FETCHED FOR", "PACKAGES", "<BYTES"}, rows)
}

// secondNight prints each package.
func (p page) secondNight(n night) {
	items := slices.SortedFunc(slices.Values(n.items), func(a, b item) int { return strings.Compare(a.Name, b.Name) })
	var rows [][]string
	for _, it := range items {
		why := it.Reason
		switch {
		case it.Reason == "dependency":
			why = "needed by " + it.Because
		case it.Reason == "popular":
			why = fmt.Sprintf("popular, rank %d", it.Rank)
		case it.Because != "":
			why = it.Reason + " list: " + it.Because
		}
		rows = append(rows, []string{it.Name, it.EVR, size(it.Size), why})
	}
	p.table([]string{"<FETCHED", "<VERSION", "BYTES", "<FOR"}, rows)
	p.line("")
	p.line("  %d packages, %s with metadata, in %s. What has not changed was not asked for.", n.Fetched, size(n.sent), millis(n.took))
}

// day prints what became of the clients' requests.
func (p page) day(groups []group) {
	var rows [][]string
	for _, g := range append(groups, sum(groups)) {
		rows = append(rows, []string{g.what, fmt.Sprint(g.requests), fmt.Sprint(g.hits), fmt.Sprint(g.collapsed),
			size(g.served), size(g.upstream), millis(g.median())})
	}
	p.table([]string{"<WHO ASKS FOR WHAT", "REQUESTS", "HITS", "SHARED", "SERVED", "UPSTREAM", "WAITED"}, rows)
	p.line("")
	p.line("  Shared: followed the one download that was under way. Waited: for the first byte, the median.")
	p.line("  Each answer was compared with upstream's file: every byte is right.")
}

// sum adds up groups.
func sum(groups []group) group {
	all := group{what: "in all"}
	for _, g := range groups {
		all.requests += g.requests
		all.hits += g.hits
		all.collapsed += g.collapsed
		all.served += g.served
		all.upstream += g.upstream
		all.waits = append(all.waits, g.waits...)
	}
	return all
}

// missing prints what a client gets that asks for what is nowhere to be had.
func (p page) missing(answer string) {
	p.line("  What is not in the cache can't be had, and the answer says why:")
	for line := range strings.Lines(answer) {
		p.line("%s", clip("    "+strings.TrimSpace(line)))
	}
}

// installed prints what dnf has installed.
func (p page) installed(in installed) {
	p.line("")
	if in.why != "" {
		p.line("  dnf was left out: %s.", in.why)
		return
	}
	p.line("  $ dnf --installroot=... install mplayer kernel   # also with upstream gone")
	p.line("  %d packages in %s, all from the cache, among them:", len(in.packages), millis(in.took))
	var some []string
	for _, name := range in.packages {
		if strings.HasPrefix(name, "kernel") || strings.HasPrefix(name, "mplayer") || strings.HasPrefix(name, "ffmpeg") {
			some = append(some, name)
		}
	}
	p.list("the update, and the seed", some)
}

// balance prints what the mirror has cost and spared.
func (p page) balance(s *stage, nights []night, groups []group) {
	all := sum(groups)
	var fetched, ahead, used int64
	packages, usedPackages := 0, 0
	for _, n := range nights {
		fetched += n.sent
		for _, it := range n.items {
			packages++
			ahead += it.Size
			if s.used[strings.TrimPrefix(it.Path, rootName+"/")] {
				usedPackages++
				used += it.Size
			}
		}
	}
	p.table([]string{"<", "", "<"}, [][]string{
		{"requests of clients", fmt.Sprint(all.requests), ""},
		{"hits", fmt.Sprint(all.hits), percent(int64(all.hits), int64(all.requests))},
		{"served to clients", size(all.served), "this much the uplink would have carried without a mirror"},
		{"from upstream by day", size(all.upstream), "while somebody waited"},
		{"from upstream at night", size(fetched), "while nobody did"},
		{"bytes saved", size(all.served - all.upstream - fetched), percent(all.served-all.upstream-fetched, all.served)},
	})
	p.line("")
	p.line("  Of %d packages fetched ahead (%s), this one day's clients asked for %d (%s).", packages, size(ahead), usedPackages, size(used))
	p.line("  The rest waits for whoever asks next; what nobody ever asks for was in vain.")
}

// opened says where the server is to be found.
func (p page) opened(url string) {
	p.line("  the mirror       %s/%s", url, rootName)
	p.line("  its status page  %s/-/", url)
	p.line("")
}

// end says where to look further.
func (p page) end(url string, took time.Duration, o options) {
	p.line("")
	p.line("It took %s. Everything is in %s/: the cache, the logs, config.toml.", millis(took), o.dir)
	if o.keep {
		p.heading("Open " + url + "/-/ in a browser. The server stays until Ctrl-C.")
		return
	}
	p.line("The server has ended. `make demo DEMOFLAGS=-keep` keeps it, and the page %s/-/", "http://127.0.0.1:PORT")
	p.line("shows what it has done.")
}

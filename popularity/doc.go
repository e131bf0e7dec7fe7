// Package popularity turns access logs into a ranking of the packages that a
// site uses.
//
// What it promises:
//
//   - Popularity belongs to a name (name, architecture, root), not to a file:
//     when kernel-6.9 replaces kernel-6.8, the rank of kernel stays.
//   - A request is a distinct (client, day, path). The ranges of one download,
//     a retry, and the same request in two logs (the proxy's and the mirror's)
//     are one, in whatever order and over however many runs the lines are read.
//     Days are UTC days.
//   - What counts is a 200, 206 or 304 answer to a GET for a package that was
//     not aborted and not asked for by imsync itself, another imserve or a
//     health check. A line that does not count is counted all the same, in the
//     Report, with its reason and one example.
//   - A client that mostly asks for what is not there, a scanner, does not count
//     on that day; one that asks for more packages than Options.ClientCap counts
//     as that many in all.
//   - A log is known again by its content, never by its name or inode: renamed,
//     compressed, copied and truncated, its lines are read once. What a batch
//     counts and how far its file was read are committed in one transaction, so
//     that a kill loses nothing and counts nothing twice.
//   - A client is stored as a salted hash, and only while its day is open. A day
//     is closed at the first Ingest that finds it over for eight days and none
//     of its lines read for eight days; then only numbers are left of it. A line
//     that comes later still counts and opens the day again, but can no longer
//     be told from one that was counted before the day was closed.
//   - Several machines make one ranking (Export, Import): of a day that is open on
//     them it is the one that a single database would make of all their logs, in
//     whatever order and however often they take in each other's counts, and of a
//     closed one no client counts twice. See group.go.
//   - A root, the directory above repodata/repomd.xml, is known from the first
//     client on that asked for its repomd.xml. A package belongs to the longest
//     known root above it; that is worked out when ranking, so a root that
//     becomes known later counts for what came before.
//
// Everything is kept in one SQLite database. Losing it loses ranks, never a
// package.
//
// To read it: line.go, common.go, squid.go, acng.go, json.go and jsonline.go (a
// line becomes an entry), clients.go and counts.go (whose it is, and whether it
// counts), blocks.go and pipeline.go (a log's blocks are parsed side by side),
// target.go, filename.go and place.go (a URL becomes a package), batch.go, memo.go
// and scanner.go (lines become requests), output.go, flush.go, visits.go, requests.go,
// paths.go and parts.go (requests go into the database while more are read), source.go
// and known.go (a log's content, and how far it was read), ingest.go (all of these in
// order), lines.go (lines for who counts otherwise), store.go, connect.go, tables.go and
// closing.go (a day becomes numbers), rank.go, rankday.go and explain.go, and for several
// machines group.go, exchange.go, export.go and import.go.
package popularity

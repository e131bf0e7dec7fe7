// Package sync is imsync's agent; importers name it imsync.
//
// Its core is pure: an Index of what repositories offer, and Plan, which says
// what a run should fetch, in which order, and for what. Neither does any input
// or output, nor asks for the time, so that a replay of old logs plans with the
// very code that a nightly run plans with.
//
// To read it: group.go says which roots belong to one client, index.go and
// builder.go what is kept of their metadata, relation.go and provider.go what
// satisfies a requirement, closure.go what a package needs, seeds.go what the
// seed list means, plan.go puts these in order.
package sync

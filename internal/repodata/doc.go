// Package repodata reads the metadata of package repositories: repomd.xml, the
// package list primary.xml, metalinks and lists of mirrors, versions and the
// names of package files.
//
// What it reads was written by strangers. Nothing here trusts it: input is
// bounded in size, depth and memory, document type declarations are refused, and
// a location that leads out of its repository is never handed on. One bad record
// is left out and counted; it does not lose the repository. Whether bytes are the
// ones that were promised (digest, signature) is not decided here.
//
// Read package.go for the types, primary.go and element.go for how a primary.xml
// becomes packages, scan.go, markup.go and text.go for the XML below it, then
// location.go, evr.go, rich.go and filename.go. The package imports nothing else
// of the project and keeps no state; its functions may be called concurrently.
package repodata

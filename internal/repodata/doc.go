// Package repodata reads the metadata of package repositories: repomd.xml, the
// package list primary.xml, the advisories of updateinfo.xml, the groups of
// comps.xml, modules.yaml, Debian's InRelease and Packages, metalinks and lists of
// mirrors, versions and the names of package files. It checks the signatures of RPM
// packages and of metadata.
//
// What it reads was written by strangers. Nothing here trusts it: input is
// bounded in size, depth and memory, document type declarations are refused, and
// a location that leads out of its repository is never handed on. One bad record
// is left out and counted; it does not lose the repository. Whether bytes have
// the digest that was promised is not decided here; whether they are signed by a
// key of a Keyring is.
//
// Read package.go for the types, primary.go and element.go for how a primary.xml
// becomes packages, scan.go, markup.go and text.go for the XML below it, then
// location.go, evr.go, rich.go and filename.go; updateinfo.go, comps.go and
// modules.go stand each for itself; release.go and packages.go are Debian's, with
// deb822.go below them. Signatures are in verify.go (what is good),
// rpm.go (where they stand in a package), openpgp.go and keyring.go. The package
// imports nothing else of the project and keeps no state; its functions may be
// called concurrently.
package repodata

// Package systest holds the programs to their promises as a site has them: its
// tests run imserve and imsync as processes, against an upstream on the loopback
// interface that counts what it is asked, with dnf, apt, zypper, curl, wget and
// other clients, and with createrepo_c and apt-ftparchive, as they come from
// Debian. It has no code of its own but its tests.
//
// Read site_test.go first (a site: directories, configuration, upstream), then
// process_test.go (a program that is run to its end, or stopped).
package systest

// Package archtest holds the shape of the source tree: which package may import which, what lies at the top, how long
// a file may be. It has no code of its own but its test; the tables in the test say what is allowed, and why.
// To change the shape, change the table and its reason.
package archtest

//go:build !race

package systest

// raceFlag builds the programs as the tests were built.
const raceFlag = "-race=false"

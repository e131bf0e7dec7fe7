//go:build !race

package systest

// raceFlag builds the programs as the tests were built.
const raceFlag = "-race=false"

// slower is how many times as much time the programs need as without the race
// detector, about.
const slower = 1

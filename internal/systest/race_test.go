//go:build race

package systest

// raceDetector reports whether the tests have the race detector.
const raceDetector = true

package generation

// Busy reports whether metadata is being brought together.
func (f *Refresher) Busy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.flights) > 0
}

// Waiting is how many clients have entered r's flight.
func (f *Refresher) Waiting(r Root) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.flights[r]; fl != nil {
		return fl.entered
	}
	return 0
}

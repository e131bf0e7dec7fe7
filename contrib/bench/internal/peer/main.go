package peer

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
)

// Main is a benchmark's main function: it runs it with the command line's arguments,
// until it has ended or somebody interrupts it, and exits with 1 after an error.
func Main(name string, run func(ctx context.Context, args []string, stdout io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

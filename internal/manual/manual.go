// Package manual writes the manual pages of a program from its command line, so
// that what they say is what --help says.
package manual

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// dateVariable is what reproducible builds give the date by, in seconds since
// 1970: https://reproducible-builds.org/specs/source-date-epoch/.
const dateVariable = "SOURCE_DATE_EPOCH"

// Command is the command `man DIR` for who makes packages: it writes a page for
// root and for each command below it into the folder, which is made if need be.
// Users have no need of it, and --help does not show it.
func Command(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages of this program",
		Long:   "Writes the manual pages of this program, one for each command, into a folder. They bear the date of\n$" + dateVariable + ", if it is set, else today's.",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE:   func(_ *cobra.Command, args []string) error { return write(root, args[0]) },
	}
}

func write(root *cobra.Command, dir string) error {
	date := time.Now()
	if s := os.Getenv(dateVariable); s != "" {
		seconds, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return fmt.Errorf("$%s is %q; it takes the seconds since 1970", dateVariable, s)
		}
		date = time.Unix(seconds, 0).UTC()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing the manual pages: %w", err)
	}
	root.DisableAutoGenTag = true // it would be the moment of the build
	header := &doc.GenManHeader{Section: "1", Date: &date, Source: "IntelligentMirror", Manual: "IntelligentMirror"}
	if err := doc.GenManTree(root, header, dir); err != nil {
		return fmt.Errorf("writing the manual pages: %w", err)
	}
	return nil
}

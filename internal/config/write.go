package config

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/BurntSushi/toml"
)

// Write writes the effective configuration as a configuration file that loads
// to the same values, with a comment behind each that says where it came from.
// Of a repository and of a cache that is copied it leaves out what is not set.
func (c *Config) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "# The effective configuration. Behind each value stands where it came from.")
	if c.file != "" {
		fmt.Fprintln(b, comment("read: "+c.file))
	} else {
		fmt.Fprintln(b, comment("no configuration file was found at "+strings.Join(c.tried, " or ")))
	}
	fmt.Fprintln(b)
	all := settings(c)
	writeTable(b, c, all, "")
	unset := repoSettings(&Repo{RepoGPGCheck: GPGAuto})
	for i := range c.Repos {
		r := &c.Repos[i]
		fmt.Fprintf(b, "\n[[repo]]  %s\n", comment(c.origins[originKey(r.Name, "")].text))
		writeSet(b, c, repoSettings(r), unset, func(key string) string { return originKey(r.Name, key) })
	}
	for _, name := range []string{"serve", "sync"} {
		fmt.Fprintf(b, "\n[%s]\n", name)
		writeTable(b, c, all, name)
	}
	none := newReplica()
	silent := replicaSettings(&none)
	for i := range c.Replicas {
		r := &c.Replicas[i]
		fmt.Fprintf(b, "\n[[replicate]]  %s\n", comment(c.origins[replicaOrigin(r.From, "")].text))
		writeSet(b, c, replicaSettings(r), silent, func(key string) string { return replicaOrigin(r.From, key) })
	}
	return b.Flush()
}

// WriteJSON writes the same as Write as one JSON object, in which there is no place for
// where a value came from.
func (c *Config) WriteJSON(w io.Writer) error {
	var text bytes.Buffer
	if err := c.Write(&text); err != nil {
		return err
	}
	all := map[string]any{}
	if _, err := toml.NewDecoder(&text).Decode(&all); err != nil {
		return fmt.Errorf("read back what is in effect: %w", err)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(all)
}

// writeSet writes the keys of one entry of a list of tables that are not as in unset,
// one that nothing is set in; origin is where a key's origin stands.
func writeSet(b *bufio.Writer, c *Config, entry, unset []setting, origin func(key string) string) {
	for i, s := range entry {
		if s.text() != unset[i].text() {
			writeKey(b, s.key, s.text(), c.origins[origin(s.key)])
		}
	}
}

// writeTable writes the keys of one table; "" are those outside of any.
func writeTable(w io.Writer, c *Config, all []setting, name string) {
	for _, s := range all {
		table, key, ok := strings.Cut(s.key, ".")
		if !ok {
			table, key = "", s.key
		}
		if table == name {
			writeKey(w, key, s.text(), c.origins[s.key])
		}
	}
}

func writeKey(w io.Writer, key, text string, from origin) {
	fmt.Fprintf(w, "%-16s = %s  %s\n", key, text, comment(from.text))
}

// comment makes a comment of s, whatever s is.
func comment(s string) string { return "# " + oneLine(s) }

// Set reports whether the administrator set a key, in the file or by a flag:
// "sync.packages".
func (c *Config) Set(key string) bool { return c.origins[key].set }

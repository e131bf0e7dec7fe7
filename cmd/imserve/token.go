package main

import (
	"bytes"
	"fmt"
	"os"

	"intelligentmirror/internal/config"
	"intelligentmirror/serve"
)

// tokenOf reads the token that cfg names, nil if it names none.
func tokenOf(cfg *config.Config) (*serve.Token, error) {
	file := cfg.Serve.AdminToken
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("serve.admin_token can't be read: %w", err)
	}
	fi, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("serve.admin_token can't be read: %w", err)
	}
	if fi.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("serve.admin_token: everybody on this machine may read or write %s (%v): chmod o= %[1]s, and write another token", file, fi.Mode().Perm())
	}
	t, err := serve.NewToken(string(bytes.TrimSpace(text)))
	if err != nil {
		return nil, fmt.Errorf("serve.admin_token: what %s has is no token: %w; make one with: openssl rand -hex 24", file, err)
	}
	return t, nil
}

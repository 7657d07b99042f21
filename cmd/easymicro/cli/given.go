package cli

import (
	"context"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
)

// givenPatience bounds the wait for the writer of a pipe that a flag names, such as a program that first asks for a
// passphrase.
const givenPatience = time.Minute

// readGiven reads the file of a flag, which may be a pipe of a program that keeps secrets.
func readGiven(ctx context.Context, flag, path string, most int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, givenPatience)
	defer cancel()
	data, err := files.ReadStream(ctx, path, most)
	if err != nil {
		return nil, failed("%s: %s %s", flag, path, files.Reason(err))
	}
	return data, nil
}

// secret is what stands in the file of a flag, and nothing without one.
func secret(ctx context.Context, flag, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := readGiven(ctx, flag, path, config.MaxSecretBytes)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return "", failed("%s: %s is empty", flag, path)
	}
	return text, nil
}

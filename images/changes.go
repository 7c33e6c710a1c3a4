package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// applyChanges edits a configuration as Dockerfile instructions would.
func applyChanges(c *ocispec.ImageConfig, changes []string) error {
	for _, change := range changes {
		instruction, value, ok := strings.Cut(strings.TrimSpace(change), " ")
		value = strings.TrimSpace(value)
		if !ok || value == "" {
			return changeError(change, "it has no value")
		}
		if err := applyChange(c, strings.ToUpper(instruction), value, change); err != nil {
			return err
		}
	}
	return nil
}

func applyChange(c *ocispec.ImageConfig, instruction, value, change string) error {
	switch instruction {
	case "CMD":
		words, err := command(value)
		c.Cmd = words
		return wrapChange(change, err)
	case "ENTRYPOINT":
		words, err := command(value)
		c.Entrypoint, c.Cmd = words, nil // as in a Dockerfile, it voids the command below
		return wrapChange(change, err)
	case "ENV":
		return pairs(change, value, func(key, value string) {
			c.Env = slices.DeleteFunc(slices.Clone(c.Env), func(e string) bool { return strings.HasPrefix(e, key+"=") })
			c.Env = append(c.Env, key+"="+value)
		})
	case "LABEL":
		labels := maps.Clone(c.Labels)
		if labels == nil {
			labels = map[string]string{}
		}
		c.Labels = labels
		return pairs(change, value, func(key, value string) { labels[key] = value })
	case "WORKDIR":
		if !strings.HasPrefix(value, "/") {
			value = strings.TrimSuffix(c.WorkingDir, "/") + "/" + value
		}
		c.WorkingDir = value
	case "USER":
		c.User = value
	case "STOPSIGNAL":
		c.StopSignal = value
	case "EXPOSE":
		c.ExposedPorts = set(c.ExposedPorts, value, func(port string) string {
			if strings.Contains(port, "/") {
				return port
			}
			return port + "/tcp"
		})
	case "VOLUME":
		c.Volumes = set(c.Volumes, value, func(path string) string { return path })
	default:
		return changeError(change, "known are CMD, ENTRYPOINT, ENV, LABEL, WORKDIR, USER, EXPOSE, VOLUME and STOPSIGNAL")
	}
	return nil
}

// command reads the exec form, a JSON list, or the shell form.
func command(value string) ([]string, error) {
	if !strings.HasPrefix(value, "[") {
		return []string{"/bin/sh", "-c", value}, nil
	}
	var words []string
	err := json.Unmarshal([]byte(value), &words)
	return words, err
}

// pairs reads KEY=VALUE words, in which quotes hold a value with spaces together,
// or the old form KEY VALUE.
func pairs(change, value string, set func(key, value string)) error {
	first, rest, _ := strings.Cut(value, " ")
	if !strings.Contains(first, "=") {
		if rest == "" {
			return changeError(change, "write KEY=VALUE")
		}
		set(first, strings.TrimSpace(rest))
		return nil
	}
	words, err := split(value)
	if err != nil {
		return wrapChange(change, err)
	}
	for _, word := range words {
		key, value, ok := strings.Cut(word, "=")
		if !ok || key == "" {
			return changeError(change, "write KEY=VALUE")
		}
		set(key, value)
	}
	return nil
}

// split splits at spaces outside quotes and takes the quotes away.
func split(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	inWord, escaped := false, false
	for _, c := range s {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == ' ' || c == '\t':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("a quote is not closed")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

func set(old map[string]struct{}, value string, form func(string) string) map[string]struct{} {
	m := map[string]struct{}{}
	for k := range old {
		m[k] = struct{}{}
	}
	for word := range strings.FieldsSeq(value) {
		m[form(word)] = struct{}{}
	}
	return m
}

func changeError(change, why string) error {
	return fmt.Errorf("change %q: %s: %w", change, why, ErrInvalidChange)
}

func wrapChange(change string, err error) error {
	if err == nil {
		return nil
	}
	return changeError(change, err.Error())
}

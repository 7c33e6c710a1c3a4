package images

import (
	"encoding/json"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// mergeConfig puts what img says into the configuration raw and keeps what the
// specification does not know, such as docker's health checks. What raw says of
// the container it came from goes.
func mergeConfig(raw []byte, img ocispec.Image) ([]byte, error) {
	old := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &old); err != nil {
		return nil, err
	}
	for _, key := range []string{"container", "container_config", "id", "parent", "docker_version", "author"} {
		delete(old, key)
	}
	oldConfig := map[string]json.RawMessage{}
	if len(old["config"]) > 0 {
		if err := json.Unmarshal(old["config"], &oldConfig); err != nil {
			return nil, err
		}
	}
	for _, key := range []string{
		"User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "Image", "Hostname",
	} {
		delete(oldConfig, key)
	}
	if err := overlay(oldConfig, img.Config); err != nil {
		return nil, err
	}
	if err := overlay(old, img); err != nil {
		return nil, err
	}
	var err error
	if old["config"], err = json.Marshal(oldConfig); err != nil {
		return nil, err
	}
	return json.Marshal(old)
}

// overlay sets the keys that v has when it is written as JSON.
func overlay(m map[string]json.RawMessage, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, &m)
}

// Command stub stands for the vLLM image where no GPU is to be had: one binary that is both `vllm serve` and `hf download`.
package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	log.SetFlags(0)
	switch filepath.Base(os.Args[0]) {
	case "hf":
		download(os.Args[1:])
	default:
		serve(os.Args[1:])
	}
}

// option is the value after a flag.
func option(arguments []string, name string) string {
	for i, argument := range arguments[:len(arguments)-1] {
		if argument == name {
			return arguments[i+1]
		}
	}
	return ""
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// download lays a model out as the hub's client does: blobs by hash, a snapshot of links. It resumes what was cut off.
func download(arguments []string) {
	model, revision := arguments[1], option(arguments, "--revision")
	repository := filepath.Join(option(arguments, "--cache-dir"), "models--"+strings.ReplaceAll(model, "/", "--"))
	snapshot := filepath.Join(repository, "snapshots", revision)
	must(0, os.MkdirAll(snapshot, 0o755))
	must(0, os.MkdirAll(filepath.Join(repository, "blobs"), 0o755))
	for _, name := range []string{"config.json", "model.safetensors"} {
		url := fmt.Sprintf("%s/%s/resolve/%s/%s", os.Getenv("HF_ENDPOINT"), model, revision, name)
		part := filepath.Join(repository, "blobs", name+".incomplete")
		resume(url, part)
		data := must(os.ReadFile(part))
		sum := sha256.Sum256(data)
		hash := hex.EncodeToString(sum[:])
		if name == "config.json" {
			small := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(data)), data...))
			hash = hex.EncodeToString(small[:])
		}
		must(0, os.Rename(part, filepath.Join(repository, "blobs", hash)))
		link := filepath.Join(snapshot, name)
		os.Remove(link)
		must(0, os.Symlink(filepath.Join("../../blobs", hash), link))
	}
}

func resume(url, path string) {
	file := must(os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644))
	defer file.Close()
	have := must(file.Stat()).Size()
	request := must(http.NewRequest(http.MethodGet, url, nil))
	request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	if token, err := os.ReadFile(os.Getenv("HF_TOKEN_PATH")); err == nil {
		request.Header.Set("Authorization", "Bearer "+string(token))
	}
	answer := must(http.DefaultClient.Do(request))
	if answer.StatusCode != http.StatusPartialContent {
		log.Fatal(url, ": ", answer.Status)
	}
	log.Printf("%s from byte %d", filepath.Base(path), have)
	if _, err := io.Copy(file, answer.Body); err != nil {
		log.Fatal(url, ": cut off: ", err)
	}
}

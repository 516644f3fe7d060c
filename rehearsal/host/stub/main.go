// Command stub stands for the vLLM image where no GPU is to be had: one binary that is both `vllm serve` and `hf download`.
//
// As a server it answers what the host and its clients ask of vLLM: a token for a key, streamed tokens at a steady
// pace, /health, /metrics; SIGTERM drains. SIGUSR1 makes its engine hang while /health stays 200, SIGUSR2 ends it with
// status 0, as a dead engine ends the real one.
package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
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

type server struct {
	keys    map[string]bool
	tokens  atomic.Int64
	running atomic.Int64
	hung    atomic.Bool
	work    sync.WaitGroup
}

func serve(arguments []string) {
	model := arguments[1]
	weights := filepath.Join(os.Getenv("HF_HUB_CACHE"), "models--"+strings.ReplaceAll(model, "/", "--"),
		"snapshots", option(arguments, "--revision"), "model.safetensors")
	size := must(os.Stat(weights)).Size()
	var file struct {
		Keys []string `json:"api-key"`
	}
	if err := json.Unmarshal(must(os.ReadFile(option(arguments, "--config"))), &file); err != nil {
		log.Fatal(err)
	}
	s := &server{keys: map[string]bool{}}
	for _, key := range file.Keys {
		s.keys["Bearer "+key] = true
	}
	must(0, os.WriteFile(filepath.Join(os.Getenv("VLLM_CACHE_ROOT"), "graph"), []byte("compiled"), 0o644))
	var gpus []string
	for _, value := range os.Environ() {
		if gpu, found := strings.CutPrefix(value, "STUB_GPU_"); found {
			gpus = append(gpus, strings.TrimSuffix(gpu, "=yes"))
		}
	}
	log.Printf("gpus %v, uid %d, %d bytes of weights", gpus, os.Getuid(), size)

	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/metrics", s.metrics)
	mux.HandleFunc("/v1/completions", s.complete)
	mux.HandleFunc("/invocations", s.complete)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		log.Fatal(http.ListenAndServe(option(arguments, "--host")+":"+option(arguments, "--port"), mux))
	}()
	for {
		switch <-signals {
		case syscall.SIGUSR1:
			s.hung.Store(true)
		case syscall.SIGUSR2:
			os.Exit(0)
		case syscall.SIGTERM:
			s.work.Wait()
			os.Exit(0)
		}
	}
}

func (s *server) metrics(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "vllm:generation_tokens_total{engine=\"0\"} %d\n", s.tokens.Load())
	fmt.Fprintf(w, "vllm:num_requests_running{engine=\"0\"} %d\n", s.running.Load())
	fmt.Fprintf(w, "vllm:num_requests_waiting{engine=\"0\"} 0\n")
}

func (s *server) complete(w http.ResponseWriter, r *http.Request) {
	if !s.keys[r.Header.Get("Authorization")] && strings.HasPrefix(r.URL.Path, "/v1") {
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	}
	s.work.Add(1)
	defer s.work.Done()
	s.running.Add(1)
	defer s.running.Add(-1)
	var body struct {
		Tokens int  `json:"max_tokens"`
		Stream bool `json:"stream"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for s.hung.Load() {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
	if !body.Stream {
		s.tokens.Add(int64(body.Tokens))
		fmt.Fprint(w, `{"choices":[{"text":"1"}]}`)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for token := range body.Tokens {
		fmt.Fprintf(w, "data: {\"choices\":[{\"text\":\"%d\"}]}\n\n", token)
		w.(http.Flusher).Flush()
		s.tokens.Add(1)
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
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

// Go's net/http. Commands and answers are those of commands.py: a line of JSON each.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

type command struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Query   map[string]string `json:"query"`
	Event   *json.RawMessage  `json:"event"`
	Text    string            `json:"text"`
	Blanks  int               `json:"blanks"`
	Gzip    bool              `json:"gzip"`
	Chunked bool              `json:"chunked"`
	Expect  bool              `json:"expect"`
}

type answer struct {
	Status  int               `json:"status,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    json.RawMessage   `json:"body,omitempty"`
	Error   string            `json:"error,omitempty"`
}

func (told command) body() io.Reader {
	if told.Event != nil {
		return bytes.NewReader(*told.Event)
	}
	text := told.Text
	if text == "" {
		text = strings.Repeat(" ", told.Blanks)
	}
	switch {
	case text == "":
		return nil
	case told.Gzip:
		return packed(text)
	case told.Chunked:
		return io.MultiReader(strings.NewReader(text)) // its length is not known to net/http
	}
	return strings.NewReader(text)
}

func packed(text string) io.Reader {
	reader, writer := io.Pipe()
	go func() {
		packer := gzip.NewWriter(writer)
		_, err := io.WriteString(packer, text)
		if err == nil {
			err = packer.Close()
		}
		writer.CloseWithError(err)
	}()
	return reader
}

func (told command) request() (*http.Request, error) {
	request, err := http.NewRequest(told.Method, told.URL, told.body())
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	for name, value := range told.Query {
		query.Set(name, value)
	}
	request.URL.RawQuery = query.Encode()
	for name, value := range told.Headers {
		request.Header.Set(name, value)
	}
	if told.Event != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if told.Gzip {
		request.Header.Set("Content-Encoding", "gzip")
	}
	if told.Expect {
		request.Header.Set("Expect", "100-continue")
	}
	return request, nil
}

func send(client *http.Client, told command) (answer, error) {
	request, err := told.request()
	if err != nil {
		return answer{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	headers := map[string]string{}
	for name := range response.Header {
		headers[strings.ToLower(name)] = response.Header.Get(name)
	}
	if response.Uncompressed { // it takes away the header of what it has unpacked
		headers["content-encoding"] = "gzip"
	}
	return answer{Status: response.StatusCode, Headers: headers, Body: body}, err
}

func main() {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	transport.ExpectContinueTimeout = 2 * client.Timeout // never without having been told to
	lines := bufio.NewReader(os.Stdin)
	printer := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var told command
		var came answer
		if err = json.Unmarshal(line, &told); err == nil {
			came, err = send(client, told)
		}
		if err != nil {
			came = answer{Error: err.Error()}
		}
		if err := printer.Encode(came); err != nil {
			return
		}
	}
}

# docker build -t tocsin . && docker run -p 127.0.0.1:8420:8420 -v tocsin:/data tocsin
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/tocsin ./cmd/tocsin && mkdir -p /out/data /out/tmp

# Nothing but the binary, the certificates that it trusts and two directories:
# the data and, for compiled modules on their way, a temporary one.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/tocsin /tocsin
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/tmp /tmp
USER 65532:65532
VOLUME /data
EXPOSE 8420
ENTRYPOINT ["/tocsin"]
CMD ["serve", "--listen", "0.0.0.0:8420", "--data", "/data"]

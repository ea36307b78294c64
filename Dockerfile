# Builds trirank with an index of the sample shop, and an image that serves it:
#   docker build -t trirank . && docker run -p 8080:8080 trirank
FROM golang:1.26-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
    cmake ninja-build g++ unzip util-linux libopenblas-dev maven python3-pip curl && rm -rf /var/lib/apt/lists/*
COPY --from=rust:1.95-bookworm /usr/local/cargo /usr/local/cargo
COPY --from=rust:1.95-bookworm /usr/local/rustup /usr/local/rustup
ENV PATH=/usr/local/cargo/bin:$PATH RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo
WORKDIR /src
COPY . .
RUN make dist && dist/trirank/trirank index --catalog sample --out /shop.index

FROM debian:bookworm-slim
COPY --from=build /src/dist/trirank /opt/trirank
COPY --from=build /shop.index /shop.index
RUN useradd --system trirank
USER trirank
EXPOSE 8080
ENTRYPOINT ["/opt/trirank/trirank"]
CMD ["serve", "--index", "/shop.index", "--addr", "0.0.0.0:8080", "--model", "pretrained=/opt/trirank/models/e5-small-v2"]

# docker build -t lmim-kedro .     docs/deployment.md says how to run it, and on a GPU.
ARG BASE=python:3.12-slim
FROM ${BASE}

# Images of CUDA have no Python; those of Python need nothing more.
RUN python3 -c "import ensurepip" 2>/dev/null || \
    (apt-get update && apt-get install -y --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/*)
RUN useradd --create-home lmim && install -d -o lmim -g lmim /app /app/data
USER lmim
WORKDIR /app

RUN python3 -m venv /home/lmim/venv
ENV PATH=/home/lmim/venv/bin:$PATH
COPY --chown=lmim pyproject.toml constraints.txt README.md LICENSE .telemetry ./
COPY --chown=lmim src ./src
RUN pip install --no-cache-dir -c constraints.txt ".[onnx,web]"
COPY --chown=lmim conf ./conf

VOLUME /app/data
ENTRYPOINT ["lmim-kedro"]
CMD ["--help"]

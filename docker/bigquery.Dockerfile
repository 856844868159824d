# The emulators of BigQuery and Cloud Storage, which pin other versions than the product. Wheels only: no build tools.
ARG PYTHON_IMAGE=python:3.11.13-slim
FROM ${PYTHON_IMAGE}

# DuckDB looks for its extension `spatial` in the home folder; an empty named volume takes the owner of the folder that it covers.
RUN useradd --create-home --uid 50000 emulator && mkdir -p /var/lib/ecommerce && chown emulator:emulator /var/lib/ecommerce
COPY requirements-bigquery.txt /tmp/requirements-bigquery.txt
RUN pip install --no-cache-dir --disable-pip-version-check --only-binary :all: -r /tmp/requirements-bigquery.txt
USER emulator
RUN python -c 'from duckdb_extensions import import_extension; import_extension("spatial")'
COPY local/__init__.py local/own_pages.py local/google_emulators.py /opt/ecommerce/local/
WORKDIR /var/lib/ecommerce
ENV PYTHONUNBUFFERED=1 \
    PYTHONPATH=/opt/ecommerce

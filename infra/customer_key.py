"""Prints the customer_key of a phone number, for erase_customer: `python -m infra.customer_key`.

With --text, it prints the key of another text. It prompts for the text, so that the text is in no shell history, and
reads the HMAC key from Secrets Manager. It works against the account or local cloud that boto3's variables name.
"""

from __future__ import annotations

from typing import Annotated

import boto3
import typer
from ecommerce_elt import aws_names
from ecommerce_elt.batches.hmac_pads import hmac_pads, secret_key
from ecommerce_elt.erasure.customers import key_of_phone, key_of_text
from ecommerce_elt.errors import PermanentError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def customer_key(
    secret: Annotated[
        str, typer.Option(envvar="ECOMMERCE_PII_HMAC_SECRET", help="Name or ARN of the secret with the HMAC key.")
    ] = aws_names.hmac_secret(),
    text: Annotated[
        bool,
        typer.Option(
            "--text", help="Compute the key of a text column that the contract hashes, such as an e-mail address."
        ),
    ] = False,
) -> None:
    """Print the customer_key of a phone number, or of another text, which is asked for."""
    asked = typer.prompt("Text" if text else "Phone", hide_input=True, err=True)
    if not text and not any(c.isdigit() for c in asked):
        raise typer.BadParameter("expected a phone number, in any spelling")
    try:
        key = secret_key(boto3.client("secretsmanager"), secret)
        hmac_pads(key)  # checks its length
    except PermanentError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(key_of_text(asked, key) if text else key_of_phone(asked, key))


if __name__ == "__main__":
    app()

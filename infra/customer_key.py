"""Prints the customer_key of a phone number, for erase_customer: `python -m infra.customer_key`.

Asks for the number, so that it is in no shell history, and for the key in Secrets Manager. Works against whatever boto3's variables name.
"""

from __future__ import annotations

from typing import Annotated

import boto3
import typer
from ecommerce_elt.erasure import key_of_phone
from ecommerce_elt.errors import PermanentError
from ecommerce_elt.hmac_pads import hmac_pads, secret_key

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def customer_key(
    secret: Annotated[str, typer.Option(envvar="ECOMMERCE_PII_HMAC_SECRET", help="Name or ARN of the HMAC's key.")]
    = "ecommerce/pii-hmac-key",  # noqa: S107  # its name
) -> None:  # fmt: skip
    """Print the customer_key of a phone number, which is asked for."""
    phone = typer.prompt("Phone", hide_input=True, err=True)
    if not any(c.isdigit() for c in phone):
        raise typer.BadParameter("expected a phone number, in any spelling")
    try:
        key = secret_key(boto3.client("secretsmanager"), secret)
        hmac_pads(key)  # checks its length
    except PermanentError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(key_of_phone(phone, key))


if __name__ == "__main__":
    app()

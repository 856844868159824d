"""Files as the shops of include/feeds/ready export them: headers after their documentation, orders of people who do not exist."""

import csv
import io

SHOPIFY_HEADER = [
    "Name",
    "Email",
    "Financial Status",
    "Paid at",
    "Fulfillment Status",
    "Fulfilled at",
    "Accepts Marketing",
    "Currency",
    "Subtotal",
    "Shipping",
    "Taxes",
    "Total",
    "Discount Code",
    "Discount Amount",
    "Shipping Method",
    "Created at",
    "Lineitem quantity",
    "Lineitem name",
    "Lineitem price",
    "Lineitem compare at price",
    "Lineitem sku",
    "Lineitem requires shipping",
    "Lineitem taxable",
    "Lineitem fulfillment status",
    "Billing Name",
    "Billing Street",
    "Billing Address1",
    "Billing Address2",
    "Billing Company",
    "Billing City",
    "Billing Zip",
    "Billing Province",
    "Billing Country",
    "Billing Phone",
    "Shipping Name",
    "Shipping Street",
    "Shipping Address1",
    "Shipping Address2",
    "Shipping Company",
    "Shipping City",
    "Shipping Zip",
    "Shipping Province",
    "Shipping Country",
    "Shipping Phone",
    "Notes",
    "Note Attributes",
    "Cancelled at",
    "Payment Method",
    "Payment Reference",
    "Refunded Amount",
    "Vendor",
    "Outstanding Balance",
    "Employee",
    "Location",
    "Device ID",
    "Id",
    "Tags",
    "Risk Level",
    "Source",
    "Lineitem discount",
    "Tax 1 Name",
    "Tax 1 Value",
    "Tax 2 Name",
    "Tax 2 Value",
    "Tax 3 Name",
    "Tax 3 Value",
    "Tax 4 Name",
    "Tax 4 Value",
    "Tax 5 Name",
    "Tax 5 Value",
    "Phone",
    "Receipt Number",
    "Duties",
    "Billing Province Name",
    "Shipping Province Name",
    "Payment ID",
    "Payment Terms Name",
    "Next Payment Due At",
    "Payment References",
]
WOO_HEADER = [
    "Order Number",
    "Order Status",
    "Order Date",
    "Currency",
    "Customer Note",
    "First Name (Billing)",
    "Last Name (Billing)",
    "Company (Billing)",
    "Address 1&2 (Billing)",
    "City (Billing)",
    "State Code (Billing)",
    "Postcode (Billing)",
    "Country Code (Billing)",
    "Email (Billing)",
    "Phone (Billing)",
    "First Name (Shipping)",
    "Last Name (Shipping)",
    "Address 1&2 (Shipping)",
    "City (Shipping)",
    "State Code (Shipping)",
    "Postcode (Shipping)",
    "Country Code (Shipping)",
    "Payment Method Title",
    "Cart Discount Amount",
    "Order Subtotal Amount",
    "Shipping Method Title",
    "Order Shipping Amount",
    "Order Refund Amount",
    "Order Total Amount",
    "Order Total Tax Amount",
    "SKU",
    "Item #",
    "Item Name",
    "Quantity (- Refund)",
    "Item Cost",
    "Coupon Code",
    "Discount Amount",
    "Discount Amount Tax",
]
WOO_ITEM = WOO_HEADER[WOO_HEADER.index("SKU") :]
AMAZON_HEADER = [
    "amazon-order-id",
    "merchant-order-id",
    "purchase-date",
    "last-updated-date",
    "order-status",
    "fulfillment-channel",
    "sales-channel",
    "order-channel",
    "ship-service-level",
    "product-name",
    "sku",
    "asin",
    "item-status",
    "quantity",
    "currency",
    "item-price",
    "item-tax",
    "shipping-price",
    "shipping-tax",
    "gift-wrap-price",
    "gift-wrap-tax",
    "item-promotion-discount",
    "ship-promotion-discount",
    "ship-city",
    "ship-state",
    "ship-postal-code",
    "ship-country",
    "promotion-ids",
    "cpf",
    "is-business-order",
    "purchase-order-number",
    "price-designation",
]


def _table(header, rows, **how):
    out = io.StringIO()
    writer = csv.DictWriter(out, header, restval="", **how)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def _line(quantity, name, price, sku=""):
    return {
        "Lineitem quantity": quantity,
        "Lineitem name": name,
        "Lineitem price": price,
        "Lineitem sku": sku,
        "Lineitem requires shipping": "true",
        "Lineitem taxable": "true",
        "Lineitem fulfillment status": "fulfilled",
        "Vendor": "Hill Farm",
        "Lineitem discount": "0.00",
    }


def _order(name, at, email="", status="paid", currency="EUR", country="FR", **more):
    person = {
        "Billing Name": "Ada Example",
        "Billing Street": "1 Rue Exemple",
        "Billing Zip": "'75008",
        "Phone": "+33 1 555 0100",
    }
    return (
        {
            "Name": name,
            "Email": email,
            "Financial Status": status,
            "Currency": currency,
            "Created at": at,
            "Id": name.strip("#") * 3,
            "Billing Country": country,
            "Payment Method": "Shopify Payments",
            "Source": "web",
            "Refunded Amount": "0.00",
            "Shipping": "0.00",
            "Discount Amount": "0.00",
            "Accepts Marketing": "no",
        }
        | (person if email else {})
        | more
    )


def shopify():
    """Five orders in seven rows, in euros and dollars; what is of an order stands on its first row alone."""
    return _table(
        SHOPIFY_HEADER,
        [
            # 2 x 34.90 + 39.90, with shipping, less a code; on 5 January in the shop, on the 6th in UTC.
            _order(
                "#1001",
                "2024-01-05 23:30:00 -0500",
                "ada@example.com",
                Shipping="4.90",
                **{"Discount Amount": "10.99", "Subtotal": "98.71", "Total": "103.61"},
            )
            | _line(2, "Mask, 50 ml", "34.90", "MASK-50"),
            {"Name": "#1001"} | _line(1, "Poster", "39.90"),
            # Refunded as a whole.
            _order(
                "#1002",
                "2024-01-07 10:00:00 +0100",
                "bob@example.com",
                "refunded",
                Shipping="4.90",
                **{"Refunded Amount": "24.90"},
            )
            | _line(1, "Poster", "20.00"),
            # A third of it refunded, in dollars, to the customer of the first order.
            _order(
                "#1003",
                "2024-01-07 11:00:00 +0100",
                "ADA@example.com",
                "partially_refunded",
                "USD",
                "US",
                **{"Refunded Amount": "10.00"},
            )
            | _line(3, "Mask, 50 ml", "10.00", "MASK-50"),
            # Never paid.
            _order(
                "#1004",
                "2024-01-08 10:00:00 +0100",
                "bob@example.com",
                "voided",
                **{"Cancelled at": "2024-01-09 10:00:00 +0100"},
            )
            | _line(1, "Poster", "15.00"),
            # At the till, by nobody who is known; its rows have no country to fill down, whatever the order above has.
            _order("#1005", "2024-01-08 12:00:00 +0100", country="", Source="pos") | _line(1, "Card", "5.00", "CARD"),
            {"Name": "#1005"} | _line(2, "Pen", "1.25", "PEN"),
        ],
    )


def woocommerce(*, first_row_only):
    """Four orders in five rows, with both settings of "Fill order columns for"."""

    def order(number, status, *items, email="eve@example.org", country="DE"):
        common = {
            "Order Number": number,
            "Order Status": status,
            "Order Date": "2024-02-01 09:15",
            "Currency": "EUR",
            "First Name (Billing)": "Eve",
            "Last Name (Billing)": "Beispiel",
            "Email (Billing)": email,
            "Country Code (Billing)": country,
            "Order Shipping Amount": "4.50",
        }
        for place, (sku, name, quantity, cost) in enumerate(items, 1):
            item = {"SKU": sku, "Item #": place, "Item Name": name, "Quantity (- Refund)": quantity, "Item Cost": cost}
            yield ({"Order Number": number} if first_row_only and place > 1 else common) | item

    return _table(
        WOO_HEADER,
        [
            *order("501", "Completed", ("MUG", "Mug", 2, "12.50"), ("", "Pen, blue", 1, "8.00")),
            *order("502", "Refunded", ("MUG", "Mug", 0, "12.50")),
            *order("503", "Cancelled", ("PEN", "Pen", 1, "8.00"), email="ivo@example.org"),
            *order(
                "504", "Processing", ("MUG", "Mug", 1, "12.50"), email="ivo@example.org", country="AT"
            ),  # one of two was paid back
        ],
    )


def amazon():
    """Six rows of five orders, tab separated, with items that have no price yet."""

    def item(order, at, status, sku, quantity, price="", currency="", **more):
        return {
            "amazon-order-id": order,
            "purchase-date": at,
            "last-updated-date": at,
            "order-status": status,
            "sku": sku,
            "fulfillment-channel": "Amazon",
            "sales-channel": "Amazon.co.uk",
            "product-name": f'"{sku}" lamp, 12" wide',
            "asin": f"B0TEST{sku[-1]}",
            "item-status": status,
            "quantity": quantity,
            "currency": currency,
            "item-price": price,
            "ship-city": "EXAMPLETON",
            "ship-postal-code": "EX1 1EX",
            "is-business-order": "false",
        } | more

    return _table(
        AMAZON_HEADER,
        [
            item(
                "026-1",
                "2024-03-01T22:15:00+00:00",
                "Shipped",
                "SKU-1",
                2,
                "30.00",
                "GBP",
                **{
                    "item-promotion-discount": "3.00",
                    "shipping-price": "3.99",
                    "ship-promotion-discount": "3.99",
                    "ship-country": "GB",
                },
            ),
            item("026-1", "2024-03-01T22:15:00+00:00", "Shipped", "SKU-2", 1, "7.50", "GBP", **{"ship-country": "GB"}),
            item("026-2", "2024-03-01T23:30:00-01:00", "Cancelled", "SKU-1", 0),
            item("026-3", "2024-03-02T08:00:00+00:00", "Pending", "SKU-1", 1),
            item("302-4", "2024-03-02T09:00:00+00:00", "Shipped", "SKU-1", 1, "15.50", "EUR", **{"ship-country": "DE"}),
            item(
                "302-5", "2024-03-02T10:00:00+00:00", "Cancelled", "SKU-2", 1, "89.95", "EUR", **{"ship-country": "DE"}
            ),
        ],
        delimiter="\t",
        quoting=csv.QUOTE_NONE,
        quotechar=None,
        escapechar=None,
    )

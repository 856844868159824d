"""Files as shops, their tools and public data sets export them: headers and spellings of each, values made up.

After the exports' public documentation and the files that people describe: Shopify, Amazon, WooCommerce, Etsy, Magento, Square,
Stripe, PayPal, eBay, Google Analytics, Shopware, PrestaShop, Rakuten, and the Kaggle data sets of Olist, REES46, Retailrocket,
Superstore and Amazon India.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any

FIRST = datetime(2026, 1, 3, 9, 5, 7)
NAMES = ("Ada Lovelace", "Grace Hopper", "Emmy Noether", "Sofia Kowalewska", "Mary Somerville", "Hedy Lamarr")
GOODS = ("Red Mug", "Blue Mug", "Tea Towel", "Lamp, small", "Lamp 'Oslo'", "Candle")
CITIES = ("Springfield", "Riverside", "Fairview", "Salem")
Row = dict[str, Any]


def moments(rows: int = 120) -> list[datetime]:
    return [FIRST + timedelta(hours=7 * n, minutes=n) for n in range(rows)]


def table(
    make: Callable[[int, datetime, Random], Row], *, delimiter: str = ",", title: str = "", rows: int = 120
) -> str:
    random, out = Random(7), io.StringIO()
    found = [make(n, moment, random) for n, moment in enumerate(moments(rows))]
    writer = csv.DictWriter(out, list(found[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return title + out.getvalue()


def _german(number: float) -> str:
    return f"{number:,.2f}".translate({ord(","): ".", ord("."): ","})


def person(n: int) -> str:
    return NAMES[n % len(NAMES)]


def mail(n: int) -> str:
    return f"{person(n).split()[0].lower()}.{n % 17}@example.org"


def shopify(n: int, at: datetime, random: Random) -> Row:
    """Two lines an order: what is of the order stands on its first line alone."""
    order, is_first = n // 2, n % 2 == 0
    at = FIRST + timedelta(hours=7 * order)
    price = f"{random.randint(100, 9999) / 100:.2f}"
    of_order = {
        "Financial Status": random.choice(["paid", "paid", "refunded"]),
        "Paid at": f"{at:%Y-%m-%d %H:%M:%S} -0500",
        "Fulfillment Status": "fulfilled",
        "Fulfilled at": f"{at + timedelta(days=1):%Y-%m-%d %H:%M:%S} -0500",
        "Accepts Marketing": random.choice(["yes", "no"]),
        "Currency": "USD",
        "Subtotal": price,
        "Shipping": "4.90",
        "Taxes": "0.00",
        "Total": price,
        "Discount Code": "",
        "Discount Amount": "0.00",
        "Shipping Method": "Standard",
    }
    behind = {
        "Billing Name": person(order),
        "Billing Street": f"{order} High Street",
        "Billing Address1": f"{order} High Street",
        "Billing Company": "",
        "Billing City": CITIES[order % 4],
        "Billing Zip": f"'{10001 + order}",
        "Billing Province": "NY",
        "Billing Country": "US",
        "Billing Phone": f"+1 555-010-{order:04d}",
        "Notes": "",
        "Cancelled at": "",
        "Payment Method": "Shopify Payments",
        "Refunded Amount": "0.00",
        "Id": f"54012345{order:05d}",
        "Risk Level": "Low",
        "Source": "web",
    }
    return {
        "Name": f"#{1001 + order}",
        "Email": mail(order),
        **{k: v if is_first else "" for k, v in of_order.items()},
        "Created at": f"{at:%Y-%m-%d %H:%M:%S} -0500",
        "Lineitem quantity": random.randint(1, 3),
        "Lineitem name": GOODS[n % 6],
        "Lineitem price": price,
        "Lineitem compare at price": "",
        "Lineitem sku": f"MUG-{n % 6:02d}",
        "Lineitem requires shipping": "true",
        "Lineitem taxable": "true",
        "Lineitem fulfillment status": "fulfilled",
        **{k: v if is_first else "" for k, v in behind.items()},
        "Vendor": "House",
        "Tags": "",
        "Lineitem discount": "0.00",
    }


def amazon_orders(n: int, at: datetime, random: Random) -> Row:
    return {
        "amazon-order-id": f"112-{1000000 + n}-{2000000 + n}",
        "merchant-order-id": "",
        "purchase-date": f"{at:%Y-%m-%dT%H:%M:%S}+00:00",
        "last-updated-date": f"{at + timedelta(days=2):%Y-%m-%dT%H:%M:%S}+00:00",
        "order-status": random.choice(["Shipped", "Cancelled", "Pending"]),
        "fulfillment-channel": random.choice(["Amazon", "Merchant"]),
        "sales-channel": "Amazon.com",
        "order-channel": "",
        "url": "",
        "ship-service-level": "Expedited",
        "product-name": GOODS[n % 6],
        "sku": f"A-{n % 6}",
        "asin": f"B00{n % 6:07d}",
        "item-status": "Shipped",
        "quantity": random.randint(0, 2),
        "currency": "USD",
        "item-price": f"{random.randint(100, 5000) / 100}",
        "item-tax": "",
        "shipping-price": "",
        "ship-city": CITIES[n % 4].upper(),
        "ship-state": "TX",
        "ship-postal-code": f"{75001 + n}-{1000 + n}",
        "ship-country": "US",
        "promotion-ids": "",
        "is-business-order": "false",
    }


AMAZON_TITLE = (
    '"Includes Amazon Marketplace, Fulfillment by Amazon (FBA), and Amazon Webstore transactions"\n"All amounts in USD, unless specified"\n'
    '"Definitions:"\n"Sales tax collected: Includes sales tax collected from buyers for product sales, shipping, and gift wrap."\n'
)


def amazon_payments(n: int, at: datetime, random: Random) -> Row:
    price = random.randint(100, 500000) / 100
    return {
        "date/time": f"{at:%b} {at.day}, {at.year} {at:%I:%M:%S} {at:%p}",
        "settlement id": "18012345678",
        "type": random.choice(["Order", "Refund"]),
        "order id": f"112-{1000000 + n}-{2000000 + n}",
        "sku": f"A-{n % 6}",
        "description": GOODS[n % 6],
        "quantity": "1",
        "marketplace": "amazon.com",
        "fulfillment": "Amazon",
        "order city": CITIES[n % 4],
        "order state": "TX",
        "order postal": f"{75001 + n}",
        "product sales": f"{price:,.2f}",
        "selling fees": f"-{price * 0.15:,.2f}",
        "total": f"{price * 0.85:,.2f}",
    }


def woocommerce(n: int, at: datetime, random: Random) -> Row:
    return {
        "Date": f"{at:%Y-%m-%d %H:%M:%S}",
        "Order #": str(700 + n),
        "Status": random.choice(["completed", "processing", "on-hold"]),
        "Customer": person(n),
        "Customer type": random.choice(["new", "returning"]),
        "Product(s)": f"1× {GOODS[n % 6]}",
        "Items sold": random.randint(1, 4),
        "Coupon(s)": "",
        "N. Revenue": f"{random.randint(500, 90000) / 100}",
    }


def etsy(n: int, at: datetime, random: Random) -> Row:
    return {
        "Sale Date": f"{at:%m/%d/%y}",
        "Item Name": GOODS[n % 6],
        "Buyer": f"{person(n)} (ab{n}cd)",
        "Quantity": "1",
        "Price": f"{random.randint(500, 9000) / 100:.2f}",
        "Coupon Code": "",
        "Discount Amount": "0",
        "Shipping Discount": "0",
        "Order Shipping": "5.5",
        "Order Sales Tax": "0",
        "Item Total": "18.00",
        "Currency": "EUR",
        "Transaction ID": f"34012345{n:02d}",
        "Listing ID": f"12345678{n % 6}",
        "Date Paid": f"{at:%m/%d/%Y}",
        "Date Shipped": f"{at + timedelta(days=2):%m/%d/%Y}",
        "Ship Name": person(n),
        "Ship Address1": f"{n} Rue Cler",
        "Ship City": "Paris",
        "Ship State": "",
        "Ship Zipcode": f"750{n % 20:02d}",
        "Ship Country": "France",
        "Order ID": f"29876543{n:02d}",
        "Variations": "Colour:Red,Size:M",
        "Order Type": "online",
        "Payment Type": "online_cc",
        "SKU": "",
    }


def magento(n: int, at: datetime, random: Random) -> Row:
    amount = f"${random.randint(100, 900000) / 100:,.2f}"
    return {
        "ID": f"{n + 1:09d}",
        "Purchase Point": "Main Website\nMain Store\nDefault",
        "Purchase Date": f"{at:%b} {at.day}, {at.year} {at:%I:%M:%S %p}",
        "Bill-to Name": person(n),
        "Ship-to Name": person(n),
        "Grand Total (Base)": amount,
        "Grand Total (Purchased)": amount,
        "Status": random.choice(["complete", "pending"]),
        "Customer Email": mail(n),
        "Customer Group": "General",
    }


def square(n: int, at: datetime, random: Random) -> Row:
    price = random.randint(100, 120000) / 100
    return {
        "Date": f"{at:%m/%d/%y}",
        "Time": f"{at:%H:%M:%S}",
        "Time Zone": "Eastern Time (US & Canada)",
        "Category": "Home",
        "Item": GOODS[n % 6],
        "Qty": f"{random.randint(1, 3)}.0",
        "Price Point Name": "Regular",
        "SKU": f"SQ{n % 6:05d}",
        "Modifiers Applied": "",
        "Gross Sales": f"${price:,.2f}",
        "Discounts": f"-${price / 10:,.2f}",
        "Net Sales": f"${price * 0.9:,.2f}",
        "Tax": "$0.00",
        "Transaction ID": f"tx{n:012d}",
        "Payment ID": f"pay{n:012d}",
        "Device Name": "Till 1",
        "Notes": "",
        "Details": "https://example.org/x",
        "Event Type": random.choice(["Payment", "Refund"]),
        "Location": "Main",
        "Customer ID": f"C{n % 17:08d}",
        "Customer Name": person(n),
    }


def stripe(n: int, at: datetime, random: Random) -> Row:
    return {
        "id": f"ch_3Nabcdef{n:010d}",
        "Description": f"Order {n}",
        "Seller Message": "Payment complete.",
        "Created (UTC)": f"{at:%Y-%m-%d %H:%M}",
        "Amount": f"{random.randint(100, 90000) / 100:.2f}",
        "Amount Refunded": "0.00",
        "Currency": "usd",
        "Fee": "0.59",
        "Mode": "Live",
        "Status": random.choice(["Paid", "Refunded", "Failed"]),
        "Customer ID": f"cus_N{n % 17:08d}",
        "Customer Email": mail(n),
        "Captured": "true",
        "Card ID": f"card_1N{n:08d}",
        "Card Last4": f"{4242 + n % 9:04d}",
        "Card Brand": "Visa",
        "Card Address Zip": "",
    }


def paypal(n: int, at: datetime, random: Random) -> Row:
    gross = random.randint(100, 200000) / 100
    return {
        "Datum": f"{at:%d.%m.%Y}",
        "Uhrzeit": f"{at:%H:%M:%S}",
        "Zeitzone": "CET",
        "Name": person(n),
        "Typ": "Website-Zahlung",
        "Status": "Abgeschlossen",
        "Währung": "EUR",
        "Brutto": _german(gross),
        "Gebühr": _german(-gross * 0.03),
        "Netto": _german(gross * 0.97),
        "Absender E-Mail-Adresse": mail(n),
        "Empfänger E-Mail-Adresse": "shop@example.org",
        "Transaktionscode": f"5TX{n:014d}",
        "Lieferadresse": f"{person(n)}, Hauptstr. {n}, Berlin",
        "Telefon": f"030 5550{n:04d}",
        "Ländervorwahl": "DE",
    }


def ebay(n: int, at: datetime, random: Random) -> Row:
    return {
        "Sales Record Number": str(n + 1),
        "Order Number": f"12-{n:05d}-{n:05d}",
        "Buyer Username": f"buyer_{n % 17}",
        "Buyer Name": person(n),
        "Buyer Email": mail(n),
        "Buyer Note": "",
        "Buyer Address 1": f"{n} Elm Street",
        "Buyer City": CITIES[n % 4],
        "Buyer Zip": f"{90001 + n}",
        "Buyer Country": "United States",
        "Ship To Phone": f"555 010 {n:04d}",
        "Item Number": f"2758{n:08d}",
        "Item Title": GOODS[n % 6],
        "Custom Label": f"L{n % 6}",
        "Quantity": "1",
        "Sold For": f"${random.randint(100, 9000) / 100:.2f}",
        "Shipping And Handling": "$0.00",
        "Total Price": "$25.00",
        "Payment Method": "Other",
        "Sale Date": f"{at:%b-%d-%y}",
        "Paid On Date": f"{at:%b-%d-%y}",
        "Transaction ID": f"{n + 10**12}",
    }


GA_TITLE = "# ----------------------------------------\n# Ecommerce purchases\n# Account: Shop\n# Start date: 20260101\n# ----------------------------------------\n\n"


def google_analytics(n: int, at: datetime, random: Random) -> Row:
    return {
        "Date": f"{at:%Y%m%d}",
        "Item name": GOODS[n % 6] if n % 9 else "(not set)",
        "Items viewed": random.randint(10, 90),
        "Items added to cart": random.randint(1, 9),
        "Items purchased": random.randint(0, 5),
        "Item revenue": f"{random.randint(0, 90000) / 100}",
    }


def shopware(n: int, at: datetime, random: Random) -> Row:
    return {
        "Bestellnummer": f"2{n:04d}",
        "Bestellzeit": f"{at:%d.%m.%Y %H:%M}",
        "Kundennummer": f"{10000 + n % 17}",
        "Anrede": random.choice(["Herr", "Frau"]),
        "Vorname": person(n).split()[0],
        "Nachname": person(n).split()[1],
        "Straße": f"Hauptstraße {n}",
        "PLZ": f"0{1067 + n}",
        "Ort": "Dresden",
        "E-Mail": mail(n),
        "Telefon": f"0351/5550{n:04d}",
        "Artikelnummer": f"SW{n % 6:05d}",
        "Bezeichnung": GOODS[n % 6],
        "Menge": random.randint(1, 5),
        "Einzelpreis": f"{_german(random.randint(100, 250000) / 100)} €",
        "Zahlungsart": random.choice(["PayPal", "Rechnung", "Vorkasse"]),
        "Bemerkung": "",
    }


def prestashop(n: int, at: datetime, random: Random) -> Row:
    amount = f"{random.randint(100, 250000) / 100:,.2f}".replace(",", "\u202f").replace(".", ",")
    return {
        "Référence": f"XKBK{n:05d}",
        "Date de commande": f"{at:%d/%m/%Y %H:%M}",
        "Client": person(n),
        "Adresse de livraison": f"{n} rue de la Paix",
        "Code postal": f"7500{n % 10}",
        "Pays": "France",
        "Produit": GOODS[n % 6],
        "Réf. produit": f"P{n % 6:04d}",
        "Quantité": random.randint(1, 4),
        "Prix unitaire": f"{amount} €",
        "État": random.choice(["Livré", "Paiement accepté"]),
    }


def rakuten(n: int, at: datetime, random: Random) -> Row:
    return {
        "注文番号": f"382145-{at:%Y%m%d}-{n:08d}",
        "注文日時": f"{at:%Y/%m/%d %H:%M:%S}",
        "ステータス": "発送済",
        "注文者名": "山田太郎",
        "メールアドレス": mail(n),
        "商品名": "マグカップ",
        "商品番号": f"mug-{n % 6}",
        "個数": random.randint(1, 3),
        "単価": f"{random.randint(500, 5000)}",
        "合計金額": "5500",
    }


def olist_items(n: int, at: datetime, random: Random) -> Row:
    return {
        "order_id": f"{n // 2:032x}",
        "order_item_id": n % 2 + 1,
        "product_id": f"{n % 6:032x}",
        "seller_id": f"{n % 4:032x}",
        "shipping_limit_date": f"{at:%Y-%m-%d %H:%M:%S}",
        "price": f"{random.randint(500, 90000) / 100}",
        "freight_value": f"{random.randint(500, 3000) / 100}",
    }


def olist_orders(n: int, at: datetime, random: Random) -> Row:
    times = [f"{at + timedelta(days=d):%Y-%m-%d %H:%M:%S}" for d in range(5)]
    return {
        "order_id": f"{n:032x}",
        "customer_id": f"{n % 17:032x}",
        "order_status": random.choice(["delivered", "shipped", "canceled"]),
        "order_purchase_timestamp": times[0],
        "order_approved_at": times[1] if n % 11 else "",
        "order_delivered_carrier_date": times[2],
        "order_delivered_customer_date": times[3] if n % 7 else "",
        "order_estimated_delivery_date": times[4],
    }


def olist_reviews(n: int, at: datetime, random: Random) -> Row:
    return {
        "review_id": f"{n:032x}",
        "order_id": f"{n:032x}",
        "review_score": random.randint(1, 5),
        "review_comment_title": "",
        "review_comment_message": "Chegou antes do prazo,\nmuito bom" if n % 3 else "",
        "review_creation_date": f"{at:%Y-%m-%d} 00:00:00",
        "review_answer_timestamp": f"{at + timedelta(days=1):%Y-%m-%d %H:%M:%S}",
    }


def rees46(n: int, at: datetime, random: Random) -> Row:
    return {
        "event_time": f"{at:%Y-%m-%d %H:%M:%S} UTC",
        "event_type": random.choice(["view", "cart", "purchase"]),
        "product_id": 44600000 + n % 6,
        "category_id": 2103807459595387724,
        "category_code": "" if n % 3 else "appliances.kitchen",
        "brand": "shiseido",
        "price": f"{random.randint(100, 90000) / 100:.2f}",
        "user_id": 541312140 + n % 17,
        "user_session": f"72d76fde-8bb3-4e00-8c23-{n % 17:012x}",
    }


def retailrocket(n: int, at: datetime, random: Random) -> Row:
    return {
        "timestamp": int(at.timestamp() * 1000),
        "visitorid": 257597 + n % 17,
        "event": random.choice(["view", "addtocart", "transaction"]),
        "itemid": 355908 + n % 6,
        "transactionid": "" if n % 5 else 4000 + n,
    }


def superstore(n: int, at: datetime, random: Random) -> Row:
    return {
        "Row ID": n + 1,
        "Order ID": f"CA-2026-{152156 + n // 2}",
        "Order Date": f"{at.month}/{at.day}/{at.year}",
        "Ship Date": f"{(at + timedelta(days=3)).month}/{(at + timedelta(days=3)).day}/{at.year}",
        "Ship Mode": "Second Class",
        "Customer ID": f"CG-{12520 + n % 17}",
        "Customer Name": person(n),
        "Segment": random.choice(["Consumer", "Corporate"]),
        "Country": "United States",
        "City": CITIES[n % 4],
        "State": "Kentucky",
        "Postal Code": 42420 + n,
        "Region": "South",
        "Product ID": f"FUR-BO-{10001798 + n % 6}",
        "Category": "Furniture",
        "Sub-Category": "Bookcases",
        "Product Name": GOODS[n % 6],
        "Sales": f"{random.randint(100, 90000) / 1000}",
        "Quantity": random.randint(1, 9),
        "Discount": random.choice(["0", "0.2"]),
        "Profit": f"{random.randint(-9000, 90000) / 10000}",
    }


def amazon_india(n: int, at: datetime, random: Random) -> Row:
    return {
        "index": n,
        "Order ID": f"405-{8078784 + n}-{5731545 + n}",
        "Date": f"{at:%m-%d-%y}",
        "Status": random.choice(["Cancelled", "Shipped"]),
        "Fulfilment": "Merchant",
        "Sales Channel ": "Amazon.in",
        "ship-service-level": "Standard",
        "Style": "SET389",
        "SKU": "SET389-KR-NP-S",
        "Category": "Set",
        "Size": random.choice(["S", "M", "XL"]),
        "ASIN": "B09KXVBD7Z",
        "Courier Status": "",
        "Qty": random.randint(0, 2),
        "currency": "INR",
        "Amount": f"{random.randint(30000, 90000) / 100}",
        "ship-city": "MUMBAI",
        "ship-state": "MAHARASHTRA",
        "ship-postal-code": f"{400081 + n}.0",
        "ship-country": "IN",
        "promotion-ids": "",
        "B2B": "False",
        "fulfilled-by": "Easy Ship",
        "Unnamed: 22": "",
    }


def json_orders() -> str:
    """Orders of an API, one a line, with lists in them."""
    random = Random(7)
    rows = (
        {
            "id": 450789469 + n,
            "created_at": f"{at:%Y-%m-%dT%H:%M:%S}-05:00",
            "email": mail(n),
            "total_price": f"{random.randint(100, 9000) / 100:.2f}",
            "currency": "USD",
            "confirmed": True,
            "line_items": [{"sku": "A-1", "quantity": 1}],
            "customer": {"id": n % 17, "first_name": person(n)},
            "weight": random.randint(1, 9) / 4,
            "note": None,
        }
        for n, at in enumerate(moments())
    )
    return "".join(json.dumps(row) + "\n" for row in rows)


# Name to (text of the file, what its columns must be: column to type, or to type and privacy).
EXPORTS: dict[str, tuple[str, dict[str, str]]] = {
    "shopify": (
        table(shopify),
        {
            "created_at": "timestamp",
            "paid_at": "timestamp",
            "email": "string hmac",
            "billing_name": "string drop",
            "billing_street": "string drop",
            "billing_phone": "string hmac",
            "billing_zip": "identifier mask",
            "lineitem_price": "decimal(12,2)",
            "lineitem_quantity": "integer",
            "lineitem_name": "string",
            "lineitem_sku": "identifier",
            "accepts_marketing": "boolean",
            "financial_status": "string",
            "name": "identifier",
            "id": "identifier",
        },
    ),
    "amazon_orders": (
        table(amazon_orders, delimiter="\t"),
        {
            "purchase_date": "timestamp",
            "amazon_order_id": "identifier",
            "quantity": "integer",
            "item_price": "decimal(12,2)",
            "ship_postal_code": "identifier mask",
            "product_name": "string",
            "order_status": "string",
            "is_business_order": "boolean",
        },
    ),
    "amazon_payments": (
        table(amazon_payments, title=AMAZON_TITLE),
        {
            "date_time": "timestamp",
            "product_sales": "decimal(12,2)",
            "selling_fees": "decimal(12,2)",
            "order_postal": "identifier mask",
            "order_id": "identifier",
        },
    ),
    "woocommerce": (
        table(woocommerce),
        {
            "date": "timestamp",
            "order_number": "identifier",
            "customer": "string drop",
            "n_revenue": "decimal(12,2)",
            "items_sold": "integer",
        },
    ),
    "etsy": (
        table(etsy),
        {
            "sale_date": "timestamp",
            "date_paid": "timestamp",
            "buyer": "string drop",
            "ship_name": "string drop",
            "ship_address1": "string drop",
            "ship_zipcode": "identifier mask",
            "price": "decimal(12,2)",
            "order_id": "identifier",
            "transaction_id": "identifier",
        },
    ),
    "magento": (
        table(magento),
        {
            "purchase_date": "timestamp",
            "bill_to_name": "string drop",
            "grand_total_base": "decimal(12,2)",
            "customer_email": "string hmac",
            "id": "identifier",
        },
    ),
    "square": (
        table(square),
        {
            "date": "timestamp",
            "qty": "integer",
            "gross_sales": "decimal(12,2)",
            "discounts": "decimal(12,2)",
            "customer_name": "string drop",
            "transaction_id": "identifier",
        },
    ),
    "stripe": (
        table(stripe),
        {
            "created_utc": "timestamp",
            "amount": "decimal(12,2)",
            "customer_email": "string hmac",
            "card_last4": "integer drop",
            "captured": "boolean",
            "id": "identifier",
        },
    ),
    "paypal": (
        table(paypal, title="\ufeff"),
        {
            "datum": "timestamp",
            "brutto": "decimal(12,2)",
            "netto": "decimal(12,2)",
            "name": "string drop",
            "absender_e_mail_adresse": "string hmac",
            "telefon": "string hmac",
            "lieferadresse": "string drop",
        },
    ),
    "ebay": (
        table(ebay),
        {
            "sale_date": "timestamp",
            "buyer_name": "string drop",
            "buyer_username": "string hmac",
            "buyer_address_1": "string drop",
            "sold_for": "decimal(12,2)",
            "ship_to_phone": "string hmac",
            "order_number": "identifier",
            "quantity": "integer",
        },
    ),
    "google_analytics": (
        table(google_analytics, title=GA_TITLE),
        {"date": "timestamp", "item_name": "string", "items_viewed": "integer", "item_revenue": "decimal(12,2)"},
    ),
    "shopware": (
        table(shopware, delimiter=";"),
        {
            "bestellzeit": "timestamp",
            "bestellnummer": "identifier",
            "vorname": "string drop",
            "nachname": "string drop",
            "strasse": "string drop",
            "plz": "identifier mask",
            "e_mail": "string hmac",
            "telefon": "string hmac",
            "menge": "integer",
            "einzelpreis": "decimal(12,2)",
            "artikelnummer": "identifier",
            "kundennummer": "identifier",
        },
    ),
    "prestashop": (
        table(prestashop, delimiter=";"),
        {
            "date_de_commande": "timestamp",
            "client": "string drop",
            "adresse_de_livraison": "string drop",
            "code_postal": "identifier mask",
            "quantite": "integer",
            "prix_unitaire": "decimal(12,2)",
            "ref_produit": "identifier",
        },
    ),
    "rakuten": (
        table(rakuten),
        {
            "zhu_wen_ri_shi": "timestamp",
            "zhu_wen_fan_hao": "identifier",
            "zhu_wen_zhe_ming": "string drop",
            "meruatoresu": "string hmac",
            "ge_shu": "integer",
            "dan_jia": "decimal(12,2)",
        },
    ),
    "olist_items": (
        table(olist_items),
        {
            "shipping_limit_date": "timestamp",
            "order_id": "identifier",
            "product_id": "identifier",
            "price": "decimal(12,2)",
            "freight_value": "decimal(12,2)",
        },
    ),
    "olist_orders": (
        table(olist_orders),
        {
            "order_purchase_timestamp": "timestamp",
            "order_approved_at": "timestamp",
            "order_status": "string",
            "customer_id": "identifier",
        },
    ),
    "olist_reviews": (
        table(olist_reviews),
        {
            "review_creation_date": "timestamp",
            "review_score": "integer",
            "review_comment_message": "string",
            "review_id": "identifier",
        },
    ),
    "rees46": (
        table(rees46),
        {
            "event_time": "timestamp",
            "product_id": "identifier",
            "category_id": "identifier",
            "brand": "string",
            "price": "decimal(12,2)",
            "user_id": "identifier hmac",
            "user_session": "string hmac",
            "event_type": "string",
        },
    ),
    "retailrocket": (
        table(retailrocket),
        {"timestamp_field": "timestamp", "event": "string", "visitorid": "identifier hmac", "itemid": "identifier"},
    ),
    "superstore": (
        table(superstore),
        {
            "order_date": "timestamp",
            "ship_date": "timestamp",
            "customer_name": "string drop",
            "postal_code": "identifier mask",
            "sales": "decimal(12,3)",
            "quantity": "integer",
            "profit": "decimal(12,4)",
            "row_id": "identifier",
            "product_name": "string",
        },
    ),
    "amazon_india": (
        table(amazon_india),
        {
            "date": "timestamp",
            "qty": "integer",
            "amount": "decimal(12,2)",
            "ship_postal_code": "identifier mask",
            "b2b": "boolean",
            "sales_channel": "string",
        },
    ),
    "json_orders": (
        json_orders(),
        {
            "created_at": "timestamp",
            "email": "string hmac",
            "total_price": "decimal(12,2)",
            "confirmed": "boolean",
            "line_items": "string",
            "id": "identifier",
        },
    ),
}

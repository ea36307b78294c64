package formats

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/trirank/trirank/catalog"
)

// read reads one file of that text, which must have neither faults nor errors.
func read(t testing.TB, text string, o Options) ([]catalog.Product, *Input) {
	t.Helper()
	in := open(t, o, filepath.Join(folder(t, map[string]string{"f": text}), "f"))
	products := sound(t, in.Products)
	for i := range products {
		products[i].Extra = nil
	}
	return products, in
}

func TestPresets(t *testing.T) {
	for name, tt := range map[string]struct {
		preset, text string
		want         []catalog.Product
	}{
		"google table": {"Google Merchant", "id\ttitle\tlink\timage link\tprice\tsale price\tproduct type\tgoogle product category\tproduct highlight\tbrand\tgtin\tavailability\n" +
			"a\tLamp \"Uno\"\thttp://x/a\thttp://x/a.jpg\t15.00 USD\t12.50 USD\tHome > Lamps\t2956\tbright\tVoltaro\t0123\tin stock\n",
			[]catalog.Product{{ID: "a", Title: `Lamp "Uno"`, Brand: "Voltaro", Category: []string{"Home", "Lamps"}, Bullets: []string{"bright"}, Price: 12.5, Currency: "USD", Image: "http://x/a.jpg"}}},
		"google rss": {"Google Merchant", `<?xml version="1.0"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel><title>Shop</title><link>http://x</link>
<item>
 <title>News</title><g:id>a</g:id><g:title>Lamp</g:title><description><![CDATA[<p>Bright &amp; small</p>]]></description>
 <g:image_link>http://x/a.jpg</g:image_link><g:price>12,50 EUR</g:price><g:product_type>Home &gt; Lamps</g:product_type>
 <g:shipping><g:country>DE</g:country><g:price>4.90 EUR</g:price></g:shipping><g:product_highlight>one</g:product_highlight><g:product_highlight>two</g:product_highlight>
</item>
<item><g:id>b</g:id><g:title>Desk</g:title><g:price>1.299,00 EUR</g:price></item></channel></rss>`,
			[]catalog.Product{{ID: "a", Title: "Lamp", Description: "Bright & small", Category: []string{"Home", "Lamps"}, Bullets: []string{"one", "two"}, Price: 12.5, Currency: "EUR", Image: "http://x/a.jpg"},
				{ID: "b", Title: "Desk", Price: 1299, Currency: "EUR"}}},
		"google atom": {"Google Merchant", `<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><title>Shop</title>
<entry><g:id>a</g:id><title>Lamp</title><summary type="xhtml"><div>Bright<br/>small</div></summary><link href="http://x/a"/><g:image_link>http://x/a.jpg</g:image_link><g:price>5 GBP</g:price></entry></feed>`,
			[]catalog.Product{{ID: "a", Title: "Lamp", Description: "Bright\nsmall", Price: 5, Currency: "GBP", Image: "http://x/a.jpg"}}},
		"shopify": {"Shopify", "Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Option1 Value,Variant SKU,Variant Price,Image Src\n" +
			"lamp,Lamp,<p>Bright</p>,Voltaro,Home > Lamps,Table lamp,\"a, b\",red,L1,12.50,http://x/1.jpg\nlamp,,,,,,,blue,L2,13.50,http://x/2.jpg\ndesk,Desk,,,,Desks,,,D1,99,\n",
			[]catalog.Product{{ID: "lamp", Title: "Lamp", Brand: "Voltaro", Description: "Bright", Category: []string{"Home", "Lamps"}, Price: 12.5, Image: "http://x/1.jpg"},
				{ID: "desk", Title: "Desk", Category: []string{"Desks"}, Price: 99}}},
		"woocommerce": {"WooCommerce", "ID,Type,SKU,Name,Short description,Description,Sale price,Regular price,Categories,Images\n" +
			"1,simple,h1,Hoodie,short,long,,45,\"Clothing > Hoodies, Sale > Winter\",\"http://x/1.jpg, http://x/2.jpg\"\n2,simple,c1,Cap,short,,16,18,\"Hats\\, caps, Sale\",\n",
			[]catalog.Product{{ID: "1", Title: "Hoodie", Description: "long", Category: []string{"Clothing", "Hoodies"}, Price: 45, Image: "http://x/1.jpg"},
				{ID: "2", Title: "Cap", Description: "short", Category: []string{"Hats, caps"}, Price: 16}}},
		"any shop": {"", "id,name,categories,images,price\n1,Mug,\"Bed, Bath > Towels\",http://x/1.jpg,5\n",
			[]catalog.Product{{ID: "1", Title: "Mug", Category: []string{"Bed, Bath", "Towels"}, Price: 5, Image: "http://x/1.jpg"}}},
		"prestashop": {"PrestaShop", "Product ID;Active (0/1);Name *;Categories (x,y,z...);Price tax included;Manufacturer;Summary;Description;Image URLs (x,y,z...)\n" +
			"7;1;Mug;Kitchen,Mugs;8,50;Halden;short;<p>long</p>;http://x/1.jpg,http://x/2.jpg\n",
			[]catalog.Product{{ID: "7", Title: "Mug", Category: []string{"Kitchen"}, Price: 8.5, Brand: "Halden", Description: "long", Image: "http://x/1.jpg"}}},
		"magento": {"Magento", "sku,attribute_set_code,categories,name,description,price,base_image,additional_attributes\n" +
			"b1,Bag,\"Default Category/Gear,Default Category/Gear/Bags\",Joust bag,text,34,/m/b.jpg,\"activity=Gym,color=Blue,brand=Joust\"\n",
			[]catalog.Product{{ID: "b1", Title: "Joust bag", Category: []string{"Gear", "Bags"}, Description: "text", Price: 34, Image: "/m/b.jpg", Color: "Blue", Brand: "Joust"}}},
		"magento, languages": {"Magento", "sku,store_view_code,name,description,base_image\nb1,,Bag,,/b.jpg\nb1,de,Tasche,Text,\nb1,fr,Sac,,\nb2,,Box,,\n",
			[]catalog.Product{{ID: "b1", Title: "Bag", Description: "Text", Image: "/b.jpg"}, {ID: "b2", Title: "Box"}}},
		"wands": {"WANDS", "product_id\tproduct_name\tproduct_class\tcategory hierarchy\tproduct_description\tproduct_features\trating_count\taverage_rating\treview_count\n" +
			"0\twood \"bed\tBeds\tFurniture / Bedroom / Beds\tsolid\tcolor : oak|width : 90\t15.0\t4.5\t14.0\n1\tlamp\tLamps\t\t\t\t\t\t\n",
			[]catalog.Product{{ID: "0", Title: `wood "bed`, Category: []string{"Furniture", "Bedroom", "Beds"}, Description: "solid", Bullets: []string{"color : oak", "width : 90"}, Popularity: 15, Rating: 4.5},
				{ID: "1", Title: "lamp", Category: []string{"Lamps"}}}},
		"chorus": {"Chorus (Icecat)", "[\n{\"id\": \"1\", \"name\": \"X1\", \"title\": \"Toner\", \"supplier\": \"Xerox\", \"short_description\": \"d\", \"img_500x500\": \"http://x/1.jpg\", \"price\": 4995, \"attr_t_product_type\": \"toner\", \"ean\": [\"1\"]},\n" +
			"{\"id\": \"2\", \"title\": \"Cable\", \"supplier\": \"HP\", \"price\": 595}\n]\n",
			[]catalog.Product{{ID: "1", Title: "Toner", Brand: "Xerox", Description: "d", Image: "http://x/1.jpg", Price: 49.95, Category: []string{"toner"}}, {ID: "2", Title: "Cable", Brand: "HP", Price: 5.95}}},
		"none, an array": {"", `[{"id": 1, "title": "a"}, {"id": 2, "title": "b", "price": 3}]`, []catalog.Product{{ID: "1", Title: "a"}, {ID: "2", Title: "b", Price: 3}}},
	} {
		got, in := read(t, tt.text, Options{})
		if reading := in.Reading(); reading.Preset != tt.preset {
			t.Errorf("%s: recognised as %q", name, reading.Preset)
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n%+v\nwant\n%+v", name, got, tt.want)
		}
	}
}

// TestAmbiguousNumbers: what the column does not settle is decided by the euro, and is
// counted.
func TestAmbiguousNumbers(t *testing.T) {
	for prices, want := range map[string]string{
		"€ 1.299|€ 850":           "1299 850; 1 price € 1.299 1299",
		"€1,299|€850":             "1299 850",
		"12,99 €|1.299 €|19.99 €": "12.99 1299 19.99; 1 price 1.299 € 1299",
		"1.299|2.500|3":           "1.299 2.5 3; 2 price 1.299 1.299",
		"1.299|12,99":             "1299 12.99",
		"1.299 €|850 €":           "1299 850; 1 price 1.299 € 1299",
		"kr. 1.299,-|kr. 2.500":   "1299 2500",
		"$1,299|$5":               "1299 5",
		"1,299 €|850 €":           "1.299 850; 1 price 1,299 € 1.299",
		"€ 1.299|€ 12.50|€ 1.000": "1.299 12.5 1",
	} {
		text := "id;title;price\n"
		for i, p := range strings.Split(prices, "|") {
			text += fmt.Sprintf("%d;t;%s\n", i, p)
		}
		products, in := read(t, text, Options{})
		var got []string
		for _, p := range products {
			got = append(got, fmt.Sprint(p.Price))
		}
		s := strings.Join(got, " ")
		for _, a := range in.Reading().Ambiguous {
			s += fmt.Sprintf("; %d %s %s %v", a.Count, a.Field, a.Text, a.ReadAs)
		}
		if s != want {
			t.Errorf("%s are %s, want %s", prices, s, want)
		}
	}
	for views, want := range map[string]string{"1.299|5|12": "1299 5 12; 1", "1,299|5": "1299 5; 0", "1.299|0.5": "1.299 0.5; 0", "1.299|15.0": "1.299 15; 0", "1.299|1.000.000": "1299 1e+06; 1", "1,299|2,5": "1.299 2.5; 0"} {
		text := "id;title;views\n"
		for i, p := range strings.Split(views, "|") {
			text += fmt.Sprintf("%d;t;%s\n", i, p)
		}
		products, in := read(t, text, Options{})
		var got []string
		for _, p := range products {
			got = append(got, fmt.Sprint(p.Popularity))
		}
		n := 0
		for _, a := range in.Reading().Ambiguous {
			n += a.Count
		}
		if s := fmt.Sprint(strings.Join(got, " "), "; ", n); s != want {
			t.Errorf("counts %s are %s, want %s", views, s, want)
		}
	}
}

// TestValues has values as programs write them.
func TestValues(t *testing.T) {
	for text, want := range map[string]catalog.Product{
		"id,title,brand,manufacturer,color,category,image,description\n1,t,nan,None,N/A,null,NaN,-\n":       {},
		"id,title,brand,manufacturer,categories,category\n1,t,None,Acme,A > B,nan\n":                        {Brand: "Acme", Category: []string{"A", "B"}},
		"id,title,brand,color\n1,t,['Acme'],\"['red', 'blue']\"\n":                                          {Brand: "Acme", Color: "red, blue"},
		"id,title,brand,color\n1,t,[],[Acme]\n":                                                             {Color: "[Acme]"},
		"id,title,category\n1,t,\"[[\"\"A\"\",\"\"B\"\"],[\"\"A\"\",\"\"C\"\"]]\"\n":                        {Category: []string{"A", "B"}},
		`{"Title": "T", "title": "t", "id": "1", "ID": "2", "brand": ["A", "B"], "color": ["red", "blue"]}`: {Brand: "A", Color: "red, blue"},
		`{"id": 1, "title": "t", "brand": "None", "category": "NULL", "Brand": "x"}`:                        {Brand: "x"},
		"sku,name,additional_attributes\n1,t,\"size=M,brand=Acme, Inc.,color=Blue\"\n":                      {Brand: "Acme, Inc.", Color: "Blue"},
		"sku,name,additional_attributes\n1,t,\"brand=Acme,xcolor=Red, color=Blue=Sky,\"\n":                  {Brand: "Acme", Color: "Blue=Sky,"},
	} {
		products, _ := read(t, text, Options{})
		want.ID, want.Title = "1", "t"
		if len(products) != 1 || !reflect.DeepEqual(products[0], want) {
			t.Errorf("%s is\n%+v, want\n%+v", text, products, want)
		}
	}
}

// TestOtherEncoding has tables that are no UTF-8: it is said so, and what to do.
func TestOtherEncoding(t *testing.T) {
	path := filepath.Join(folder(t, map[string]string{"f": "Product ID,title,x\n1,Gr\xf6\xdfe,\n2,\xe4,\n"}), "f")
	in := open(t, Options{}, path)
	_, bad, err := drain(in.Products)
	if err != nil {
		t.Fatal(err)
	}
	wantFaults(t, bad, "f: line 2: the line is not valid UTF-8 (convert the file to UTF-8; ", "f: line 3: the line is not valid UTF-8 (convert")
	r := in.Reading()
	if id := r.Fields[idTarget]; r.Rows != 0 || id.Filled != 0 || !reflect.DeepEqual(id.From, []string{"Product ID"}) || !reflect.DeepEqual(r.LeftOver, []string{"x"}) {
		t.Errorf("without a row the reading is %+v", r)
	}
	for text, want := range map[string]string{
		"id,title,Gr\xf6\xdfe\n1,t,\n":                   "the names of its columns are not valid UTF-8 (convert the file to UTF-8",
		"i\x00d\x00,\x00t\x00i\x00t\x00l\x00e\x00\n\x00": "UTF-16 without a byte order mark (save it as UTF-8)",
		"{\x00\"\x00i\x00d\x00\"\x00:\x00":               "UTF-16 without a byte order mark (save it as UTF-8)",
	} {
		path := filepath.Join(folder(t, map[string]string{"f": text}), "f")
		if _, err := Read([]string{path}, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
	// Excel on a Mac ends lines with CR, but those within quotes.
	dir := folder(t, map[string]string{"p.csv": "id,title,description\r1,t,\"a\nb\"\r2,u,\r", "j.csv": "query,product_id,label\r\"big\nmug\",1,E\r"})
	in = open(t, Options{}, filepath.Join(dir, "p.csv"), filepath.Join(dir, "j.csv"))
	if products := sound(t, in.Products); ids(products) != "1 2" || products[0].Description != "a\nb" || len(sound(t, in.Judgments)) != 1 {
		t.Errorf("%+v", products)
	}
}

// TestCents has a price in no cents after a thousand in cents.
func TestCents(t *testing.T) {
	item := `{"id": "%d", "title": "t", "supplier": "s", "img_500x500": "u", "price": %s}` + "\n"
	text := ""
	for i := range 1001 {
		text += fmt.Sprintf(item, i, "1299")
	}
	products, in := read(t, text+fmt.Sprintf(item, 1001, "12.99")+fmt.Sprintf(item, 1002, `"13.00"`)+fmt.Sprintf(item, 1003, "1300.0"), Options{})
	r := in.Reading()
	if products[1000].Price != 12.99 || products[1001].Price != 0 || products[1002].Price != 0 || products[1003].Price != 13 || r.Unread.Count != 2 ||
		!strings.HasSuffix(r.Unread.First[0].Error(), `line 1002: field price: "12.99" is no whole number, and the first prices are in cents`) {
		t.Errorf("prices %v, unread %+v", []float64{products[1000].Price, products[1001].Price, products[1002].Price, products[1003].Price}, r.Unread)
	}
}

// TestNextNumber: what is no number does not hide the column after it.
func TestNextNumber(t *testing.T) {
	const text = "id\ttitle\timage link\tprice\tsale price\trating\tstars\tviews\treviews\n" +
		"1\tt\t\t10 USD\t-\t0\t4\t0\t7\n2\tt\t\t10 USD\tN/A\tnew\t4\t-\t7\n3\tt\t\t10 USD\t0.00 USD\t\t4\tmany\t7\n4\tt\t\t10 USD\task us\t3\t4\t5\t7\n5\tt\t\t10 USD\t9 USD\t3\t4\t5\t7\n6\tt\t\t-\tsoon\t\t\t\t\n"
	products, _ := read(t, text, Options{Fields: map[string]string{"popularity": "views"}})
	if fmt.Sprint(products[2].Popularity) != "0" {
		t.Errorf("popularity %v of a column that is left out", products[2].Popularity)
	}
	products, in := read(t, strings.Replace(text, "views", "popularity", 1), Options{})
	var got []string
	for _, p := range products {
		got = append(got, fmt.Sprint(p.Price, p.Currency, " ", p.Rating, " ", p.Popularity))
	}
	if s := strings.Join(got, ", "); s != "10USD 4 0, 10USD 4 7, 10USD 4 7, 10USD 3 5, 9USD 3 5, 0 0 0" {
		t.Errorf("the numbers are %s", s)
	}
	r := in.Reading()
	if price := r.Fields[priceTarget]; r.Unread.Count != 4 || strings.Join(price.From, "+") != "price+sale price" || price.Filled != 5 {
		t.Errorf("%d unread, prices %+v", r.Unread.Count, price)
	}
}

// TestShopifyVariants has each variant as a product, by an id of the user's choice.
func TestShopifyVariants(t *testing.T) {
	const text = "Handle,Title,Vendor,Type,Option1 Value,Variant SKU,Variant Price,Image Src\n" +
		"lamp,Lamp,Voltaro,Lamps,red,L1,12.50,http://x/1.jpg\nlamp,,,,blue,L2,13.50,\nlamp,,,,,,,http://x/2.jpg\ndesk,Desk,,Desks,,D1,99,\ndesk,,Halden,,,D2,,\n"
	for _, id := range []string{"Variant SKU", "variant_sku"} {
		products, in := read(t, text, Options{Fields: map[string]string{"id": id}})
		want := []catalog.Product{{ID: "L1", Title: "Lamp", Brand: "Voltaro", Category: []string{"Lamps"}, Price: 12.5, Image: "http://x/1.jpg"},
			{ID: "L2", Title: "Lamp", Brand: "Voltaro", Category: []string{"Lamps"}, Price: 13.5, Image: "http://x/1.jpg"},
			{ID: "D1", Title: "Desk", Category: []string{"Desks"}, Price: 99}, {ID: "D2", Title: "Desk", Brand: "Halden", Category: []string{"Desks"}}}
		if r := in.Reading(); !reflect.DeepEqual(products, want) || r.Merged != 1 || r.Rows != 4 {
			t.Errorf("%+v\nof %d rows, %d merged", products, r.Rows, r.Merged)
		}
	}
	if products, _ := read(t, text, Options{Fields: map[string]string{"id": "Handle"}}); ids(products) != "lamp desk" {
		t.Errorf("by handle there are %s", ids(products))
	}
	// A variant without a SKU is no image: it is a product without an id.
	if products, _ := read(t, text+"desk,,,,oak,,12,\n", Options{Fields: map[string]string{"id": "Variant SKU"}}); ids(products) != "L1 L2 D1 D2 " {
		t.Errorf("there are %s", ids(products))
	}
}

func TestReading(t *testing.T) {
	_, in := read(t, "Product ID,Product Name,Price,Rating,reviews,Stock\n1,Mug &amp; lid,\"12,99 €\",4.5 out of 5,7,3\n2,Pot,cheap,No rating available,,3\n3,Pan,-5,nan,N/A,\n4,Lid,$5,,1,\n", Options{})
	r := in.Reading()
	var fields []string
	for _, f := range r.Fields {
		fields = append(fields, fmt.Sprintf("%s<-%s:%d", f.Field, strings.Join(f.From, "+"), f.Filled))
	}
	want := "id<-Product ID:4 title<-Product Name:4 brand<-:0 color<-:0 category<-:0 bullets<-:0 description<-:0 price<-Price:2 image<-:0 rating<-Rating:1 popularity<-reviews:2 currency<-Price:2"
	if got := strings.Join(fields, " "); got != want {
		t.Errorf("the fields are\n%s, want\n%s", got, want)
	}
	if r.Rows != 4 || r.HTML != 1 || r.Table != "parted by commas" || r.Encoding != "UTF-8" || !reflect.DeepEqual(r.LeftOver, []string{"Stock"}) || !reflect.DeepEqual(r.Currencies, map[string]int{"EUR": 1, "$": 1}) {
		t.Errorf("the reading is %+v", r)
	}
	var unread []string
	for _, f := range r.Unread.First {
		unread = append(unread, fmt.Sprint(f.Line, " ", f.Reason))
	}
	if got := strings.Join(unread, "; "); got != `3 field Price: "cheap" is not a number; 4 field Price: "-5" is negative` {
		t.Errorf("unread: %s", got)
	}
	if sound(t, in.Products); in.Reading().Rows != 4 {
		t.Error("a second reading counts on")
	}
	b, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(b), `"left_over":["Stock"]`) {
		t.Errorf("%s, error %v", b, err)
	}
}

func TestDecimalMarksOfAColumn(t *testing.T) {
	for prices, want := range map[string]string{"1.299|12,99": "1299 12.99", "1.299|12.99": "1.299 12.99", "1,299|5": "1299 5", "1.299 €|850 €": "1299 850"} {
		text := "id;title;price\n"
		for i, p := range strings.Split(prices, "|") {
			text += fmt.Sprintf("%d;t;%s\n", i, p)
		}
		products, _ := read(t, text, Options{})
		if got := fmt.Sprint(products[0].Price, products[1].Price); got != want {
			t.Errorf("%s are %s, want %s", prices, got, want)
		}
	}
}

func TestNamesOfFields(t *testing.T) {
	for header, o := range map[string]Options{
		"upc,Product Name":      {},
		"EAN,item-name":         {},
		"ISBN;Title *":          {},
		"barcode|product title": {},
		"Artikel Nr,NAME":       {Fields: map[string]string{"id": "artikel_nr"}},
		"Name,name":             {Fields: map[string]string{"id": "Name", "title": "name"}},
	} {
		comma := strings.IndexAny(header, ",;|")
		products, _ := read(t, header+"\n7"+header[comma:comma+1]+"t\n", o)
		if products[0].ID != "7" || products[0].Title != "t" {
			t.Errorf("%s: %+v", header, products[0])
		}
	}
	// A better id is better.
	if products, _ := read(t, "upc,sku,title\n1,2,t\n", Options{}); products[0].ID != "2" {
		t.Errorf("%+v", products[0])
	}
}

func TestDialects(t *testing.T) {
	const table = "id\ttitle\n1\t\"Deluxe\" chair\n2\tlamp 5\"\n3\t\"desk\n"
	units := utf16.Encode([]rune("\ufeff" + table))
	wide := make([]byte, 0, 2*len(units))
	for _, u := range units {
		wide = append(wide, byte(u), byte(u>>8))
	}
	for _, text := range []string{table, string(wide)} {
		products, in := read(t, text, Options{})
		if len(products) != 3 || products[0].Title != `"Deluxe" chair` || products[2].Title != `"desk` {
			t.Errorf("%+v", products)
		}
		if r := in.Reading(); r.Table != "parted by tabs" || (r.Encoding == "UTF-16 LE") == (text == table) {
			t.Errorf("the reading is %+v", r)
		}
	}
	products, in := read(t, "\"upc\",\"name\",\"short_description\"\n\"1\",\"Fan 3.125\\\" wide\",\"Says \\\"hello\\\", \\\\ and , too\"\n\"2\",\"Lamp, 12\\\"\",\n", Options{})
	if products[0].Title != `Fan 3.125" wide` || products[0].Description != `Says "hello", \ and , too` || products[1].Title != `Lamp, 12"` {
		t.Errorf("%+v", products)
	}
	if r := in.Reading(); r.Table != "parted by commas, quotes escaped by backslashes" {
		t.Errorf("the reading is %+v", r)
	}
	if products, _ := read(t, "sep=;\nid;title\n1;lamp\n", Options{}); products[0].Title != "lamp" {
		t.Errorf("%+v", products)
	}
	for _, keep := range []bool{false, true} {
		products, _ := read(t, "id,title,description\n1,R&amp;D,<p>5 < 6</p>\n", Options{KeepHTML: keep})
		if (products[0].Title == "R&D") == keep || (products[0].Description == "5 < 6") == keep {
			t.Errorf("%+v", products)
		}
	}
}

// TestItemFaults has an array whose items are not all sound.
func TestItemFaults(t *testing.T) {
	text := "[{\"id\": \"1\", \"title\": \"t\"},\n 7,\n{\"id\": \"2\" \"title\"},\n{\"id\": \"" + strings.Repeat("x", maxRow) + "\"},\n{\"id\": \"3\", \"title\": \"]\\\"}\"}, },\n{\"id\": \"5\", \"title\": \"t\"}, {\"id\": \"4\""
	in := open(t, Options{}, folder(t, map[string]string{"products.json": text}))
	products, faults, err := drain(in.Products)
	if ids(products) != "1 3 5" || err == nil || !strings.Contains(err.Error(), "line 6: the JSON array does not end: the file is cut off, or a quote or a bracket of the item that begins here") {
		t.Errorf("products %s, error %v", ids(products), err)
	}
	wantFaults(t, faults, "products.json: line 2: not a JSON object", "products.json: line 3: not a JSON object", "products.json: line 4: it is too long: over 16777216 bytes in one item", "products.json: line 5: not a JSON object")
}

// TestEndOfArray: an array that is cut off, or that is not all, is an error.
func TestEndOfArray(t *testing.T) {
	const item = `{"id": "1", "title": "t"}`
	for text, want := range map[string]string{
		"[" + item + ",\n":                 "line 2: the JSON array does not end: the file is cut off",
		"[" + item:                         "line 1: the JSON array does not end: the file is cut off",
		"[" + item + "\n":                  "line 2: the JSON array does not end: the file is cut off",
		"[" + item + "]\n\n[" + item + "]": "line 3: there is more behind the end of the JSON array",
		"[" + item + "] " + item:           "line 1: there is more behind the end of the JSON array",
		"[" + item + ",]]":                 "line 1: there is more behind the end of the JSON array",
		"[" + item + "] \r\n\t":            "",
		"[" + item + ",\n]\n":              "",
	} {
		products, _, err := drain(open(t, Options{}, folder(t, map[string]string{"products.json": text})).Products)
		switch {
		case want == "" && (err != nil || len(products) != 1):
			t.Errorf("%q: %d products, error %v", text, len(products), err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}

func TestFeedFaults(t *testing.T) {
	for text, want := range map[string]string{
		"<rss><item><id>1</id><title>t</title></item><item></rss>":                                               "line 1: the XML is broken",
		"<rss><item><id>1</id><title>t</title></item>\n<item>":                                                   "line 2: the XML is broken: unexpected EOF",
		"<rss><item><id>1</id><title>t</title></item>" + strings.Repeat("<a>", 99):                               "over 64 elements lie within each other",
		"<?xml version='1.0' encoding='ebcdic'?><rss><item/></rss>":                                              "it is in ebcdic: save it as UTF-8",
		"<rss><item><id>1</id><title>t</title></item><item><title>" + strings.Repeat("x", 2*maxRow) + "</title>": "it is too long",
		"<rss><item><id>&x;</id></item></rss>":                                                                   "the XML is broken: invalid character entity &x;",
	} {
		_, faults, err := drain(open(t, Options{}, folder(t, map[string]string{"products.xml": text})).Products)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "products.xml: ") || faults != nil {
			t.Errorf("%.60s: error %v, want %s", text, err, want)
		}
	}
	products, _ := read(t, "<?xml version='1.0' encoding='ISO-8859-1'?><rss><item><id>1</id><title>Gr\xf6\xdfe &nbsp; 5\x80</title></item></rss>", Options{})
	if products[0].Title != "Größe \u00a0 5€" {
		t.Errorf("%+v", products)
	}
}
